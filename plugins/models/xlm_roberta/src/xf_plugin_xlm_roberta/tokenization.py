"""XLM-RoBERTa's tokenizer on the `tokenizers` library: likely pieces of text (SentencePiece, arXiv:1808.06226)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from xf.checkpoint.atomic import write_atomic
from xf_tokenizers.sentencepiece import SentencePieceModel, sentencepiece_tokenizer
from xf_tokenizers.templates import template
from xf_tokenizers.tokenizer_fast import PreTrainedTokenizerFast

# The ids of the first tokens, as fairseq numbered them; the file has three of its own at their place
_FIRST = ("<s>", "<pad>", "</s>", "<unk>")
_FILE_FIRST = 3


class XLMRobertaTokenizerFast(PreTrainedTokenizerFast):
    """Unigram with <s> text </s> and <s> text </s></s> text </s>; all token types are 0.

    vocab_file: sentencepiece.bpe.model. tokenizer_file: tokenizer.json.
    """

    vocab_files_names = {"vocab_file": "sentencepiece.bpe.model", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str | None = None,
        tokenizer_file: str | None = None,
        bos_token: str = "<s>",
        eos_token: str = "</s>",
        sep_token: str = "</s>",
        cls_token: str = "<s>",
        unk_token: str = "<unk>",
        pad_token: str = "<pad>",
        mask_token: str | AddedToken = "<mask>",
        **kwargs: Any,
    ) -> None:
        if isinstance(mask_token, str):  # it takes the space before it, as a word would
            mask_token = AddedToken(mask_token, lstrip=True, normalized=True)
        super().__init__(
            vocab_file,
            tokenizer_file=tokenizer_file,
            bos_token=bos_token,
            eos_token=eos_token,
            sep_token=sep_token,
            cls_token=cls_token,
            unk_token=unk_token,
            pad_token=pad_token,
            mask_token=mask_token,
            **kwargs,
        )
        self.vocab_file = vocab_file
        if self._tokenizer.post_processor is None:
            cls, sep = self.cls_token, self.sep_token
            self._tokenizer.post_processor = template(
                self._tokenizer, f"{cls}:0 $A:0 {sep}:0", f"{cls}:0 $A:0 {sep}:0 {sep}:0 $B:0 {sep}:0"
            )

    @property
    def can_save_slow_tokenizer(self) -> bool:
        """Whether the SentencePiece file is still there to be copied."""
        return self.vocab_file is not None and Path(self.vocab_file).is_file()

    def build_backend(self, *args: Any, **kwargs: Any) -> Tokenizer:
        """Unigram from sentencepiece.bpe.model."""
        if args[0] is None:
            raise ValueError(
                f"{type(self).__name__} needs sentencepiece.bpe.model (vocab_file=) or tokenizer.json "
                "(tokenizer_file=)."
            )
        model = SentencePieceModel.read(args[0])
        pieces = [(token, 0.0) for token in _FIRST] + model.vocab[_FILE_FIRST:] + [("<mask>", 0.0)]
        return sentencepiece_tokenizer(model, pieces, _FIRST.index("<unk>"), add_prefix_space=True)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Copy sentencepiece.bpe.model; returns its path.

        Raises: ValueError if the file is not there: tokenizer.json alone does not hold it.
        """
        if not self.can_save_slow_tokenizer:
            raise ValueError(f"sentencepiece.bpe.model cannot be saved: there is no file {self.vocab_file!r} to copy.")
        name = f"{filename_prefix}-" * bool(filename_prefix) + self.vocab_files_names["vocab_file"]
        path = Path(save_directory) / name
        write_atomic(path, Path(str(self.vocab_file)).read_bytes())
        return (str(path),)
