"""RoBERTa's tokenizer on the `tokenizers` library: pairs of bytes that were merged most often (Radford et al. 2019)."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, processors

from xf_tokenizers.batch_encoding import BatchEncoding
from xf_tokenizers.bpe import byte_level_tokenizer, read_merges, read_vocab_json
from xf_tokenizers.tokenizer_fast import PreTrainedTokenizerFast


class RobertaTokenizerFast(PreTrainedTokenizerFast):
    """BPE on bytes with <s> text </s> and <s> text </s></s> text </s>; all token types are 0.

    vocab_file, merges_file: vocab.json and merges.txt. tokenizer_file: tokenizer.json. errors: kept for the files,
    since the library decodes broken bytes as "replace" does. add_prefix_space: put a space before the text, so that
    its first word is as any other. trim_offsets: leave spaces out of the characters of a token. The two win over a
    tokenizer.json.
    """

    vocab_files_names = {
        "vocab_file": "vocab.json",
        "merges_file": "merges.txt",
        "tokenizer_file": "tokenizer.json",
    }
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str | None = None,
        merges_file: str | None = None,
        tokenizer_file: str | None = None,
        errors: str = "replace",
        bos_token: str = "<s>",
        eos_token: str = "</s>",
        sep_token: str = "</s>",
        cls_token: str = "<s>",
        unk_token: str = "<unk>",
        pad_token: str = "<pad>",
        mask_token: str | AddedToken = "<mask>",
        add_prefix_space: bool = False,
        trim_offsets: bool = True,
        **kwargs: Any,
    ) -> None:
        if isinstance(mask_token, str):  # it takes the space before it, as a word would
            mask_token = AddedToken(mask_token, lstrip=True, normalized=False)
        super().__init__(
            vocab_file,
            merges_file,
            tokenizer_file=tokenizer_file,
            errors=errors,
            bos_token=bos_token,
            eos_token=eos_token,
            sep_token=sep_token,
            cls_token=cls_token,
            unk_token=unk_token,
            pad_token=pad_token,
            mask_token=mask_token,
            add_prefix_space=add_prefix_space,
            trim_offsets=trim_offsets,
            **kwargs,
        )
        self._tokenizer.post_processor = processors.RobertaProcessing(
            (str(self.sep_token), self.sep_token_id),
            (str(self.cls_token), self.cls_token_id),
            trim_offsets=trim_offsets,
            add_prefix_space=add_prefix_space,
        )

    def build_backend(self, *args: Any, **kwargs: Any) -> Tokenizer:
        """BPE from vocab.json and merges.txt."""
        vocab_file, merges_file = args
        if vocab_file is None or merges_file is None:
            raise ValueError(
                f"{type(self).__name__} needs vocab.json (vocab_file=) and merges.txt (merges_file=), or "
                "tokenizer.json (tokenizer_file=)."
            )
        return byte_level_tokenizer(
            read_vocab_json(vocab_file),
            read_merges(merges_file),
            add_prefix_space=kwargs["add_prefix_space"],
            trim_offsets=kwargs["trim_offsets"],
        )

    def _batch_encode_plus(self, *args: Any, **options: Any) -> BatchEncoding:  # type: ignore[override]
        if options.get("is_split_into_words") and not self.add_prefix_space:
            raise ValueError(
                f"Words of a split text are told apart by the space before them: {type(self).__name__} needs "
                "add_prefix_space=True for is_split_into_words=True."
            )
        return super()._batch_encode_plus(*args, **options)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.json and merges.txt; returns their paths."""
        return tuple(self._tokenizer.model.save(save_directory, filename_prefix))
