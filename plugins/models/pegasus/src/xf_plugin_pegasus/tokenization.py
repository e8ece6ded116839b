"""PEGASUS's tokenizer on the `tokenizers` library (arXiv:1912.08777)."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers

from xf_tokenizers.family import SentencePieceTokenizerFast
from xf_tokenizers.sentencepiece import SPACE, SentencePieceModel, normalizer, unigram


class PegasusTokenizerFast(SentencePieceTokenizerFast):
    """Unigram with text </s>, also for two texts; all token types are 0.

    mask_token: stands for a word, mask_token_sent: for a sentence. offset: how many tokens come before those of the
    file; the ones that are no special tokens are called <unk_2>, <unk_3>, ... and are for pre-training.
    """

    model_input_names = ["input_ids", "attention_mask"]
    defaults = {
        "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask_2>",
        "mask_token_sent": "<mask_1>", "additional_special_tokens": None, "offset": 103,
    }  # fmt: skip
    file_defaults = {"sp_model_kwargs": {}}
    single = "$A:0 {eos_token}:0"
    pair = "$A:0 $B:0 {eos_token}:0"

    def __init__(self, vocab_file: str | None = None, tokenizer_file: str | None = None, **kwargs: Any) -> None:
        sentence = kwargs.get("mask_token_sent", self.defaults["mask_token_sent"])
        offset = kwargs.get("offset", self.defaults["offset"])
        kwargs["additional_special_tokens"] = with_reserved(kwargs.get("additional_special_tokens"), sentence, offset)
        super().__init__(vocab_file, tokenizer_file=tokenizer_file, **kwargs)
        self.mask_token_sent: str | None = sentence
        self.offset: int = offset

    def pipeline(self, model: SentencePieceModel, **kwargs: Any) -> Tokenizer:
        """Unigram with the reserved tokens first."""
        first = [str(kwargs["pad_token"]), str(kwargs["eos_token"])]
        if kwargs["mask_token_sent"] is not None:
            first.append(str(kwargs["mask_token_sent"]))
        mask, offset = kwargs["mask_token"], kwargs["offset"]
        if mask is not None and len(first) < offset:
            first.append(str(mask))
        pieces = [(token, 0.0) for token in first] + [(f"<unk_{i}>", -100.0) for i in range(2, offset)]
        pieces += model.vocab[2:]
        tokenizer = Tokenizer(unigram(pieces, model.unk_id + offset, model.byte_fallback))
        tokenizer.normalizer = normalizer(model)
        space = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), space])
        tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
        special = [*first[:2], str(kwargs["unk_token"])]
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=True) for token in special])
        return tokenizer


def with_reserved(tokens: list[Any] | None, sentence: Any, offset: int) -> list[Any]:
    """The additional special tokens: the one for a sentence, the given ones, and reserved ones up to `offset`.

    Raises: ValueError where a reserved token is given twice.
    """
    given = list(tokens or [])
    if sentence is not None and str(sentence) not in map(str, given):
        given = [sentence, *given]
    if len(set(map(str, given))) != len(given):
        raise ValueError(f"additional_special_tokens hold a token twice: {given}")
    if tokens is None:
        return given + [f"<unk_{i}>" for i in range(2, offset)]
    missing = range(len(given) + 1, offset)
    return given + [f"<unk_{i}>" for i in missing if f"<unk_{i}>" not in map(str, given)]


class PegasusTokenizer(PegasusTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
