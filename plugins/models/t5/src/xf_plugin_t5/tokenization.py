"""T5's tokenizer on the `tokenizers` library (arXiv:1910.10683)."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer

from xf_tokenizers.family import SentencePieceTokenizerFast, literal
from xf_tokenizers.sentencepiece import SentencePieceModel, sentencepiece_tokenizer


class T5TokenizerFast(SentencePieceTokenizerFast):
    """Unigram with text </s> and text </s> text </s>; all token types are 0.

    extra_ids: how many tokens <extra_id_0>, ... stand for masked spans. add_prefix_space: put a space before the text;
    None is what the files say. legacy: also put it after a special token inside the text; True if None.
    """

    model_input_names = ["input_ids", "attention_mask"]
    defaults = {
        "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "extra_ids": 100,
        "additional_special_tokens": None, "add_prefix_space": None,
    }  # fmt: skip
    file_defaults = {
        "eos_token": literal("</s>"), "unk_token": literal("<unk>"), "pad_token": literal("<pad>"),
        "sp_model_kwargs": {}, "legacy": True,
    }  # fmt: skip
    single = "$A:0 {eos_token}:0"
    pair = "$A:0 {eos_token}:0 $B:0 {eos_token}:0"

    def __init__(self, vocab_file: str | None = None, tokenizer_file: str | None = None, **kwargs: Any) -> None:
        count = kwargs.get("extra_ids", self.defaults["extra_ids"])
        kwargs["additional_special_tokens"] = with_extra_ids(kwargs.get("additional_special_tokens"), count)
        if kwargs.get("add_prefix_space") is not None and vocab_file is not None:
            kwargs["from_slow"] = True  # the file can do what is asked, a tokenizer.json does what it does
        super().__init__(vocab_file, tokenizer_file=tokenizer_file, **kwargs)

    def pipeline(self, model: SentencePieceModel, **kwargs: Any) -> Tokenizer:
        """Unigram with the extra ids after the file's, the last one first."""
        count = kwargs["extra_ids"]
        pieces = model.vocab + [(f"<extra_id_{i}>", 0.0) for i in reversed(range(count))]
        return sentencepiece_tokenizer(
            model, pieces, add_prefix_space=kwargs.get("add_prefix_space"), legacy=kwargs.get("legacy") is not False
        )

    def get_sentinel_tokens(self) -> list[str]:
        """The tokens that stand for masked spans."""
        return [token for token in self.additional_special_tokens if token.startswith("<extra_id_")]

    def get_sentinel_token_ids(self) -> list[int]:
        """Their ids."""
        ids: list[int] = self.convert_tokens_to_ids(self.get_sentinel_tokens())
        return ids

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Zeros: T5 has no token types."""
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))


def with_extra_ids(tokens: list[Any] | None, count: int) -> list[Any]:
    """The additional special tokens with the extra ids, which are made where none are given.

    Raises: ValueError where some are given, but not `count`.
    """
    made = [f"<extra_id_{i}>" for i in range(count)]
    if tokens is None:
        return made
    given = [token for token in tokens if str(token).startswith("<extra_id_")]
    if not given:
        return [*tokens, *made]
    if count > 0 and len(given) != count:
        raise ValueError(
            f"extra_ids is {count}, but additional_special_tokens hold {len(given)} of them: leave one of the two out."
        )
    return list(tokens)


class T5Tokenizer(T5TokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
