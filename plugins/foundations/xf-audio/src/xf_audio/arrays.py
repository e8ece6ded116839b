"""The one array type of this package, and what counts as audio."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"


def is_valid_audio(audio: object) -> bool:
    """Whether `audio` is a NumPy array or a torch tensor. Torch is not imported to find out."""
    if isinstance(audio, np.ndarray):
        return True
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(audio, torch.Tensor)


def is_valid_list_of_audio(audio: object) -> bool:
    """Whether `audio` is a non-empty sequence of arrays or tensors."""
    return isinstance(audio, Sequence) and len(audio) > 0 and all(is_valid_audio(item) for item in audio)


def make_list_of_audio(audio: Any) -> list[Any]:
    """One waveform or several, always as a list.

    Raises:
        ValueError: `audio` is neither an array or tensor nor a sequence of them.
    """
    if isinstance(audio, (list, tuple)) and is_valid_list_of_audio(audio):
        return list(audio)
    if is_valid_audio(audio):
        return [audio]
    raise ValueError(
        f"Expected an array, a tensor or a list of them as audio, got {type(audio).__name__}. "
        "Read a file with xf.audio_utils.load_audio first."
    )
