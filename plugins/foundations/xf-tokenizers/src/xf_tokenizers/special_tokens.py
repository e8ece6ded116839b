"""Special tokens: the ones with a name (`bos_token`, ...), the ones a model adds, and how they enter a vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken

from xf import logging

logger = logging.get_logger(__name__)

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_ADDITIONAL = "additional_special_tokens"


def special_token(token: str | AddedToken) -> AddedToken:
    """`token` as an added token that is special: kept whole, not normalized, removable when decoding."""
    if isinstance(token, AddedToken):
        token.special = True
        return token
    return AddedToken(token, lstrip=False, rstrip=False, normalized=False, special=True)


class SpecialTokensMixin:
    """Holds the special tokens of a tokenizer as attributes.

    `bos_token`, `eos_token`, `unk_token`, `sep_token`, `pad_token`, `cls_token`, `mask_token` are strings or None,
    `additional_special_tokens` a list; with `_id` (`_ids`) at the end they are ids. A model's own special tokens
    (`extra_special_tokens={"image_token": "<image>"}`) become attributes in the same way.

    Args:
        verbose: log an error when an unset special token is read.
        kwargs: special tokens by name.
    """

    SPECIAL_TOKENS_ATTRIBUTES: list[str] = [*_NAMED, _ADDITIONAL]

    def __init__(self, verbose: bool = False, **kwargs: Any) -> None:
        self._pad_token_type_id = 0
        self.verbose = verbose
        self._special_tokens_map: dict[str, Any] = dict.fromkeys(self.SPECIAL_TOKENS_ATTRIBUTES)
        self._special_tokens_map[_ADDITIONAL] = []
        for key, value in kwargs.items():
            if value is not None and key in self.SPECIAL_TOKENS_ATTRIBUTES:
                setattr(self, key, value)

    # What subclasses provide

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Token strings to ids."""
        raise NotImplementedError

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Ids to token strings."""
        raise NotImplementedError

    def _add_tokens(self, new_tokens: Sequence[str | AddedToken], special_tokens: bool = False) -> int:
        raise NotImplementedError

    # Attributes

    def _special_name(self, name: str) -> str | None:
        """The special token that the attribute `name`, also one ending in _id or _ids, stands for."""
        base = name[:-3] if name.endswith("_id") else name[:-4] if name.endswith("_ids") else name
        if base + "s" in self.SPECIAL_TOKENS_ATTRIBUTES and name.endswith("_ids"):
            base += "s"
        return base if base in self.SPECIAL_TOKENS_ATTRIBUTES and "_special_tokens_map" in self.__dict__ else None

    def __getattr__(self, name: str) -> Any:
        key = self._special_name(name)
        if key is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        value = self._special_tokens_map.get(key)
        if key != name:
            tokens = getattr(self, key)
            return None if tokens is None else self.convert_tokens_to_ids(tokens)
        if key == _ADDITIONAL:
            return [str(token) for token in value or []]
        if value is None and self.verbose:
            logger.error(f"Using {name}, but it is not set yet.")
        return None if value is None else str(value)

    def __setattr__(self, name: str, value: Any) -> None:
        key = self._special_name(name)
        if key is None:
            super().__setattr__(name, value)
            return
        if key != name and value is not None:
            value = self.convert_ids_to_tokens(value)
        if key == _ADDITIONAL:
            tokens = [value] if isinstance(value, (str, AddedToken)) else value
            if tokens is not None and not all(isinstance(token, (str, AddedToken)) for token in tokens):
                raise ValueError(f"{name} must be a list of strings or AddedToken, not {value!r}")
            value = None if tokens is None else list(tokens)
        elif not isinstance(value, (str, AddedToken, type(None))):
            raise ValueError(f"Cannot set a non-string value as the {key}: {value!r}")
        self._special_tokens_map[key] = value

    @property
    def pad_token_type_id(self) -> int:
        """The token type of padding."""
        return self._pad_token_type_id

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens that are set, by name, as strings."""
        return {key: getattr(self, key) for key in self.special_tokens_map_extended}

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """The special tokens that are set, by name, as they were given (strings or AddedToken)."""
        return {
            key: self._special_tokens_map[key]
            for key in self.SPECIAL_TOKENS_ATTRIBUTES
            if self._special_tokens_map.get(key)
        }

    @property
    def all_special_tokens_extended(self) -> list[str | AddedToken]:
        """Every special token once, as it was given."""
        found: dict[str, str | AddedToken] = {}
        for value in self.special_tokens_map_extended.values():
            for token in value if isinstance(value, (list, tuple)) else [value]:
                found.setdefault(str(token), token)
        return list(found.values())

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once, as a string."""
        return [str(token) for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        ids: list[int] = self.convert_tokens_to_ids(self.all_special_tokens)
        return ids

    # Adding tokens

    def add_tokens(
        self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """Add tokens to the vocabulary; those it has already are only marked as added.

        The model's embeddings must be resized to `len(tokenizer)` afterwards.

        Args:
            new_tokens: the tokens; an AddedToken says whether it swallows white space, matches whole words only, ...
            special_tokens: keep them whole in every text, do not normalize them, and let decoding skip them.

        Returns:
            How many were not in the vocabulary before.
        """
        if not new_tokens:
            return 0
        tokens = [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else list(new_tokens)
        for token in tokens:
            if not isinstance(token, (str, AddedToken)):
                raise TypeError(f"a token is a str or an AddedToken, not {token!r}")
        return self._add_tokens(tokens, special_tokens=special_tokens)

    def add_special_tokens(
        self,
        special_tokens_dict: dict[str, str | AddedToken | Sequence[str | AddedToken]],
        replace_additional_special_tokens: bool = True,
    ) -> int:
        """Set special tokens by name and add those that the vocabulary lacks.

        Args:
            special_tokens_dict: names are those of `SPECIAL_TOKENS_ATTRIBUTES`, for example
                `{"cls_token": "<CLS>", "additional_special_tokens": ["<a>", "<b>"]}`.
            replace_additional_special_tokens: replace the list of additional special tokens, or extend it.

        Returns:
            How many were not in the vocabulary before.

        Raises:
            ValueError: an unknown name, or something that is no token.
        """
        if not special_tokens_dict:
            return 0
        added: dict[str, AddedToken] = {}
        for key, value in special_tokens_dict.items():
            key = _ADDITIONAL if key == "extra_special_tokens" else key
            if key not in self.SPECIAL_TOKENS_ATTRIBUTES:
                raise ValueError(
                    f"Key {key} is not a special token; the names are {', '.join(self.SPECIAL_TOKENS_ATTRIBUTES)}"
                )
            many = key == _ADDITIONAL
            tokens = list(value) if many and isinstance(value, (list, tuple)) else [value]
            if not all(isinstance(token, (str, AddedToken)) for token in tokens):
                raise ValueError(f"Token {value!r} for key {key} should be a str or an AddedToken instance")
            special = [special_token(token) for token in tokens]  # type: ignore[arg-type]
            if many:
                kept = [] if replace_additional_special_tokens else self._special_tokens_map[key] or []
                names = {str(token) for token in kept}
                setattr(self, key, [*kept, *(token for token in special if str(token) not in names)])
            else:
                setattr(self, key, special[0])
            for token in special:
                added.setdefault(str(token), token)
        return self.add_tokens(list(added.values()), special_tokens=True)

    def sanitize_special_tokens(self) -> int:
        """Add every special token that the vocabulary lacks; returns how many."""
        return self.add_tokens(self.all_special_tokens_extended, special_tokens=True)

    def _set_model_specific_special_tokens(self, special_tokens: dict[str, str | AddedToken] | Iterable[str]) -> None:
        """Give a model's own special tokens (name to token) attributes of their own."""
        if not isinstance(special_tokens, dict):
            raise ValueError(f"extra_special_tokens must be a dictionary of name and token, not {special_tokens!r}")
        known = [*self.SPECIAL_TOKENS_ATTRIBUTES]
        self.SPECIAL_TOKENS_ATTRIBUTES = known + [key for key in special_tokens if key not in known]
        for key, value in special_tokens.items():
            if not isinstance(value, (str, AddedToken)):
                raise ValueError(f"the special token {key} must be a str or an AddedToken, not {value!r}")
            self._special_tokens_map[key] = value
