"""CANINE's tokenizer (arXiv:2103.06874): characters are tokens, their Unicode code points are the ids."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken

from xf_tokenizers.slow import PreTrainedTokenizer

#: How many code points Unicode has
CODE_POINTS = 0x110000
#: Special tokens are characters of the private use area (section 3.1), padding is U+0000
PAD, CLS, SEP, BOS, MASK, RESERVED = 0, 0xE000, 0xE001, 0xE002, 0xE003, 0xE004
NAMES = {PAD: "[PAD]", CLS: "[CLS]", SEP: "[SEP]", BOS: "[BOS]", MASK: "[MASK]", RESERVED: "[RESERVED]"}


def _flat(character: str) -> AddedToken:
    return AddedToken(character, lstrip=False, rstrip=False)


class CanineTokenizer(PreTrainedTokenizer):
    """Characters with [CLS] text [SEP] and [CLS] text [SEP] text [SEP]; needs no files.

    bos_token, eos_token, sep_token, cls_token, pad_token, mask_token: characters. model_max_length: in characters.
    """

    def __init__(
        self,
        bos_token: str = chr(CLS),
        eos_token: str = chr(SEP),
        sep_token: str = chr(SEP),
        cls_token: str = chr(CLS),
        pad_token: str = chr(PAD),
        mask_token: str = chr(MASK),
        add_prefix_space: bool = False,
        model_max_length: int = 2048,
        **kwargs: Any,
    ) -> None:
        tokens: dict[str, Any] = {
            "bos_token": bos_token, "eos_token": eos_token, "sep_token": sep_token, "cls_token": cls_token,
            "pad_token": pad_token,
        }  # fmt: skip
        tokens = {key: _flat(value) if isinstance(value, str) else value for key, value in tokens.items()}
        if isinstance(mask_token, str):  # it takes the space before it, as a word would
            tokens["mask_token"] = AddedToken(mask_token, lstrip=True, rstrip=False)
        else:
            tokens["mask_token"] = mask_token
        super().__init__(**tokens, add_prefix_space=add_prefix_space, model_max_length=model_max_length, **kwargs)

    @classmethod
    def _arguments_from(cls, checkpoint: Any) -> dict[str, Any]:
        """What tokenizer_config.json says; there are no vocabulary files to look for."""
        cls_with_files = type(cls.__name__, (cls,), {"vocab_files_names": {"config": "tokenizer_config.json"}})
        arguments: dict[str, Any] = super(CanineTokenizer, cls_with_files)._arguments_from(checkpoint)
        arguments.pop("config", None)
        return arguments

    @property
    def vocab_size(self) -> int:
        return CODE_POINTS

    def get_vocab(self) -> dict[str, int]:
        return {**{chr(index): index for index in range(CODE_POINTS)}, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        if len(token) != 1:
            raise ValueError(f"invalid token: {token!r}. CANINE's tokens are single characters.")
        return ord(token)

    def _convert_id_to_token(self, index: int) -> str:
        if not 0 <= index < CODE_POINTS:
            raise ValueError(f"invalid id: {index}. CANINE's ids are the code points from 0 to {CODE_POINTS - 1}.")
        return NAMES.get(index) or chr(index)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """[CLS] A [SEP], or [CLS] A [SEP] B [SEP]."""
        first = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        return first if token_ids_1 is None else [*first, *token_ids_1, self.sep_token_id]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """0 for [CLS] A [SEP], 1 for B [SEP]."""
        return [0] * (len(token_ids_0) + 2) + ([] if token_ids_1 is None else [1] * (len(token_ids_1) + 1))

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 at special tokens, 0 at others."""
        if already_has_special_tokens:
            return super().get_special_tokens_mask(token_ids_0, token_ids_1, True)
        mask = [1, *[0] * len(token_ids_0), 1]
        return mask if token_ids_1 is None else [*mask, *[0] * len(token_ids_1), 1]

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes nothing: Unicode is the vocabulary."""
        return ()
