"""The beam search with a language model that some CTC checkpoints bring along."""

from __future__ import annotations

from typing import Any

from xf import logging
from xf.checkpoint import resolve

logger = logging.get_logger(__name__)

_ALPHABET = "alphabet.json"  # pyctcdecode's own file: a checkpoint that has it has a decoder
_FOLDER = "language_model/"


def load_ctc_decoder(model: Any) -> Any:
    """The `pyctcdecode.BeamSearchDecoderCTC` of the model's checkpoint; None without one or without pyctcdecode."""
    name = getattr(model, "name_or_path", "") or ""
    if not name:
        return None
    try:
        checkpoint = resolve(name)
        alphabet = checkpoint.path(_ALPHABET)
    except (OSError, ValueError):
        return None  # a model that was not loaded from a checkpoint that is still there
    if alphabet is None:
        return None
    try:
        from pyctcdecode import BeamSearchDecoderCTC  # type: ignore[import-not-found]
    except ImportError:
        logger.warning(
            f"{name} brings a language model that makes transcripts better, but pyctcdecode is not installed: "
            "pip install 'xf-plugin-automatic-speech-recognition[lm]'. The best path is used without it."
        )
        return None
    for file in checkpoint.list():
        if file.startswith(_FOLDER):
            checkpoint.path(file)
    return BeamSearchDecoderCTC.load_from_dir(str(alphabet.parent))
