"""Settings of the two watermarking schemes, as data (spec: internal/generation_utils.md).

model.generate(**inputs, watermarking_config=WatermarkingConfig(bias=2.5, seeding_scheme="selfhash"))
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from xf.checkpoint.atomic import write_atomic

if TYPE_CHECKING:
    from xf.interfaces.logits import LogitsProcessor

Self = TypeVar("Self", bound="BaseWatermarkingConfig")
SCHEMES = ("selfhash", "lefthash")
MAX_TABLE_SIZE = 2**24


@dataclass
class BaseWatermarkingConfig:
    """What both schemes share: reading, writing and changing their settings."""

    @classmethod
    def from_dict(cls: type[Self], config_dict: Mapping[str, Any], **kwargs: Any) -> Self:
        """From a dict; keyword arguments replace its values.

        Raises: ValueError for a key that the scheme does not have.
        """
        values = {**config_dict, **kwargs}
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise ValueError(f"{cls.__name__} has no {unknown}; it has {sorted(cls.__dataclass_fields__)}.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """All settings, fit for JSON."""
        return asdict(self)

    def to_json_string(self) -> str:
        """As JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str]) -> None:
        """`to_json_string` into a file, replaced as a whole."""
        write_atomic(json_file_path, self.to_json_string())

    def update(self, **kwargs: Any) -> None:
        """Set the settings that exist; others are left out.

        Raises: ValueError for settings that cannot work; the old ones are kept then.
        """
        before = dict(vars(self))
        vars(self).update({name: value for name, value in kwargs.items() if name in before})
        try:
            self.validate()
        except ValueError:
            vars(self).update(before)
            raise

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield from self.to_dict().items()

    def validate(self) -> None:
        """Raises: ValueError, with the value, for settings that cannot work."""
        raise NotImplementedError(f"{type(self).__name__} must define validate().")

    def construct_processor(self, vocab_size: int, device: Any) -> LogitsProcessor:
        """The logits processor of the scheme with these settings."""
        raise NotImplementedError(f"{type(self).__name__} must define construct_processor(vocab_size, device).")


@dataclass
class WatermarkingConfig(BaseWatermarkingConfig):
    """Green lists (arXiv:2301.10226, arXiv:2306.04634).

    greenlist_ratio: the part of the vocabulary that is favoured. bias: what its scores gain. hashing_key: the secret,
    an integer, best a large prime. seeding_scheme: "lefthash", the list depends on the last token, or "selfhash", it
    depends on the last tokens and the one that is scored (slower, harder to find out). context_width: how many tokens
    the list depends on.
    """

    greenlist_ratio: float = 0.25
    bias: float = 2.0
    hashing_key: int = 15485863  # the millionth prime, as in the paper's published code
    seeding_scheme: str = "lefthash"
    context_width: int = 1

    def validate(self) -> None:
        """Raises: ValueError, with the value, for settings that cannot work."""
        if self.seeding_scheme not in SCHEMES:
            raise ValueError(
                f"watermarking_config: seeding_scheme is {self.seeding_scheme!r}; it must be 'selfhash' or 'lefthash'."
            )
        if not _is_number(self.greenlist_ratio) or not 0.0 < self.greenlist_ratio < 1.0:
            raise ValueError(
                f"watermarking_config: greenlist_ratio is {self.greenlist_ratio!r}; it must be between 0 and 1."
            )
        if not _is_number(self.bias):
            raise ValueError(f"watermarking_config: bias is {self.bias!r}; it must be a number.")
        if not _is_integer(self.hashing_key):
            raise ValueError(f"watermarking_config: hashing_key is {self.hashing_key!r}; it must be an integer.")
        if not _is_integer(self.context_width) or self.context_width < 1:
            raise ValueError(
                f"watermarking_config: context_width is {self.context_width!r}; it must be a positive integer."
            )

    def construct_processor(self, vocab_size: int, device: Any) -> LogitsProcessor:
        from .greenlist import WatermarkLogitsProcessor

        return WatermarkLogitsProcessor(vocab_size=vocab_size, device=device, **self.to_dict())


@dataclass
class SynthIDTextWatermarkingConfig(BaseWatermarkingConfig):
    """Tournament sampling (Dathathri et al. 2024, doi:10.1038/s41586-024-08025-4).

    ngram_len: tokens whose hash decides, the one that is drawn included. keys: one secret per layer of the tournament,
    20 to 30 of them are usual. context_history_size: so many contexts are remembered, and none is marked twice.
    sampling_table_seed, sampling_table_size: of the table of random bits. skip_first_ngram_calls: leave the first
    ngram_len - 1 tokens unmarked. debug_mode: all scores count as equal before the mark.
    """

    ngram_len: int
    keys: list[int]
    context_history_size: int = 1024
    sampling_table_seed: int = 0
    sampling_table_size: int = 2**16
    skip_first_ngram_calls: bool = False
    debug_mode: bool = False

    def to_dict(self) -> dict[str, Any]:
        """All settings, fit for JSON."""
        return {**asdict(self), "keys": list(self.keys)}

    def validate(self) -> None:
        """Raises: ValueError, with the value, for settings that cannot work."""
        if not _is_integer(self.ngram_len) or self.ngram_len < 1:
            raise ValueError(f"watermarking_config: ngram_len is {self.ngram_len!r}; it must be a positive integer.")
        if not isinstance(self.keys, (list, tuple)) or not self.keys or not all(map(_is_integer, self.keys)):
            raise ValueError(f"watermarking_config: keys is {self.keys!r}; it must be a list of integers, not empty.")
        if not _is_integer(self.context_history_size) or self.context_history_size < 1:
            raise ValueError(
                f"watermarking_config: context_history_size is {self.context_history_size!r}; it must be a positive "
                "integer."
            )
        size = self.sampling_table_size
        if not _is_integer(size) or not 1 <= size <= MAX_TABLE_SIZE:
            raise ValueError(
                f"watermarking_config: sampling_table_size is {size!r}; it must be between 1 and 2**24 "
                f"({MAX_TABLE_SIZE})."
            )

    def construct_processor(self, vocab_size: int, device: Any) -> LogitsProcessor:
        from .synthid import SynthIDTextWatermarkLogitsProcessor

        return SynthIDTextWatermarkLogitsProcessor(device=device, **self.to_dict())


def watermarking_config_from_dict(values: Mapping[str, Any]) -> BaseWatermarkingConfig:
    """The settings of the scheme whose keys `values` holds: ngram_len tells the two apart.

    Raises: ValueError for keys that the scheme does not have or lacks.
    """
    if not (values.keys() & {"ngram_len", "keys"}):
        return WatermarkingConfig.from_dict(values)
    missing = {"ngram_len", "keys"} - values.keys()
    if missing:
        raise ValueError(f"watermarking_config lacks {sorted(missing)}, which SynthIDTextWatermarkingConfig needs.")
    return SynthIDTextWatermarkingConfig.from_dict(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
