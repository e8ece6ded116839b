"""SentencePiece classes that several families share: Llama, Gemma, XLM-R, and those with BERT's special tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers

from xf import logging

from .family import BeginEndMixin, SentencePieceTokenizerFast, literal, mask, own_tokens
from .sentencepiece import SPACE, SentencePieceModel, add_file_tokens, bpe, byte_fallback_tokenizer, unigram
from .sentencepiece import sentencepiece_tokenizer as common_pipeline

logger = logging.get_logger(__name__)

#: The ids of the first tokens, as fairseq numbered them; the file has three of its own at their place
FAIRSEQ_FIRST = ("<s>", "<pad>", "</s>", "<unk>")
_FILE_FIRST = 3


class LlamaTokenizerFast(BeginEndMixin, SentencePieceTokenizerFast):
    """Llama's (arXiv:2302.13971), also of Mistral, Mixtral, Jamba and Phi-3: BPE, unknown characters as bytes.

    legacy: the first published behaviour, which puts a space after every special token inside a text; True if None.
    add_prefix_space: put a space before the text; None is what the files say. add_bos_token, add_eos_token: what
    stands around a text.
    """

    vocab_files_names = {"vocab_file": "tokenizer.model", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]
    padding_side = "left"
    defaults = {
        "clean_up_tokenization_spaces": False, "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>",
        "add_bos_token": True, "add_eos_token": False, "use_default_system_prompt": False, "add_prefix_space": None,
        "legacy": None,
    }  # fmt: skip
    file_defaults = {
        "unk_token": literal("<unk>"), "bos_token": literal("<s>"), "eos_token": literal("</s>"), "legacy": True,
        "pad_token": None, "sp_model_kwargs": {}, "spaces_between_special_tokens": False,
    }  # fmt: skip

    def __init__(self, vocab_file: str | None = None, tokenizer_file: str | None = None, **kwargs: Any) -> None:
        if kwargs.get("legacy", False) is None:
            kwargs["legacy"] = True
        if kwargs.get("add_prefix_space") is not None and vocab_file is not None:
            kwargs["from_slow"] = True  # the file can do what is asked, a tokenizer.json does what it does
        super().__init__(vocab_file, tokenizer_file=tokenizer_file, **kwargs)
        self.legacy: bool = self.init_kwargs["legacy"] is not False
        self.use_default_system_prompt: bool = self.init_kwargs["use_default_system_prompt"]

    def pipeline(self, model: SentencePieceModel, **kwargs: Any) -> Tokenizer:
        """BPE with bytes."""
        return byte_fallback_tokenizer(
            model, add_prefix_space=kwargs.get("add_prefix_space"), legacy=kwargs.get("legacy") is not False
        )


class GemmaTokenizerFast(BeginEndMixin, SentencePieceTokenizerFast):
    """Gemma's (arXiv:2403.08295): BPE that keeps runs of spaces, unknown characters as bytes, <bos> before a text."""

    vocab_files_names = {"vocab_file": "tokenizer.model", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]
    padding_side = "left"
    defaults = {
        "clean_up_tokenization_spaces": False, "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>",
        "pad_token": "<pad>", "add_bos_token": True, "add_eos_token": False,
    }  # fmt: skip
    file_defaults = {
        "unk_token": literal("<unk>"), "bos_token": literal("<bos>"), "eos_token": literal("<eos>"),
        "pad_token": literal("<pad>"), "sp_model_kwargs": None, "use_default_system_prompt": False,
        "spaces_between_special_tokens": False,
    }  # fmt: skip

    def pipeline(self, model: SentencePieceModel, **kwargs: Any) -> Tokenizer:
        """BPE with bytes, spaces kept with the word before them."""
        vocab = model.vocab
        if not any(text == "\t" for text, _ in vocab):  # the byte is a token with a name, as runs of spaces are
            vocab = [("\t" if text == "<0x09>" else text, score) for text, score in vocab]
        tokenizer = Tokenizer(bpe(vocab, "<unk>"))
        tokenizer.normalizer = normalizers.Replace(" ", SPACE)
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        )  # fmt: skip
        turns = [token for token in ("<start_of_turn>", "<end_of_turn>") if tokenizer.token_to_id(token) is not None]
        add_file_tokens(tokenizer, model, model.vocab)
        for token in turns:
            tokenizer.add_tokens([AddedToken(token, normalized=False, special=True)])
        return tokenizer


class XLMRobertaTokenizerFast(SentencePieceTokenizerFast):
    """XLM-RoBERTa's (arXiv:1911.02116): <s> text </s> and <s> text </s></s> text </s>; all token types are 0."""

    vocab_files_names = {"vocab_file": "sentencepiece.bpe.model", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]
    defaults = {
        "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>",
        "pad_token": "<pad>", "mask_token": mask("<mask>", normalized=False),
    }  # fmt: skip
    file_defaults = {"sp_model_kwargs": {}}
    single = "{cls_token}:0 $A:0 {sep_token}:0"
    pair = "{cls_token}:0 $A:0 {sep_token}:0 {sep_token}:0 $B:0 {sep_token}:0"

    def pipeline(self, model: SentencePieceModel, **kwargs: Any) -> Tokenizer:
        """Unigram with the ids of fairseq."""
        return fairseq_pipeline(model, ("<mask>",))

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Zeros: there are no token types."""
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))


def fairseq_pipeline(model: SentencePieceModel, last: tuple[str, ...]) -> Tokenizer:
    """The common pipeline with the first ids as fairseq numbered them, and tokens `last` after the file's."""
    pieces = [(token, 0.0) for token in FAIRSEQ_FIRST] + model.vocab[_FILE_FIRST:] + [(token, 0.0) for token in last]
    return common_pipeline(model, pieces, FAIRSEQ_FIRST.index("<unk>"), add_prefix_space=True)


class BertLikeSentencePieceFast(SentencePieceTokenizerFast):
    """Unigram with [CLS] text [SEP] and [CLS] text [SEP] text [SEP], the text standardized first.

    do_lower_case: turn it into lower case. keep_accents: False removes them. remove_space is kept for the files.
    spaces_early: runs of spaces become one before, not after, the model's character map.
    """

    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    spaces_early: ClassVar[bool] = False
    single = "{cls_token}:0 $A:0 {sep_token}:0"
    pair = "{cls_token}:0 $A:0 {sep_token}:0 $B:1 {sep_token}:1"

    def pipeline(self, model: SentencePieceModel, **kwargs: Any) -> Tokenizer:
        """Unigram on standardized text."""
        tokenizer = Tokenizer(unigram(model.vocab, model.unk_id, model.byte_fallback))
        steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
        spaces = normalizers.Replace(Regex(" {2,}"), " ")
        steps += [spaces] * self.spaces_early
        if not kwargs["keep_accents"]:
            steps += [normalizers.NFKD(), normalizers.StripAccents()]
        if kwargs["do_lower_case"]:
            steps.append(normalizers.Lowercase())
        if model.charsmap:
            steps.append(normalizers.Precompiled(model.charsmap))
        steps += [spaces] * (not self.spaces_early)
        tokenizer.normalizer = normalizers.Sequence(steps)
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
        add_file_tokens(tokenizer, model, model.vocab, own_tokens(kwargs))
        return tokenizer


class LlamaTokenizer(LlamaTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use; padded on the right."""

    padding_side = "right"


class GemmaTokenizer(GemmaTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use; padded on the right."""

    padding_side = "right"


class XLMRobertaTokenizer(XLMRobertaTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
