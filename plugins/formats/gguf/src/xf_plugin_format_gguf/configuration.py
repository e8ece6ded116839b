"""The configuration of a model, as config.json would hold it, from the metadata of a GGUF file.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from .architectures import ARCHITECTURES, MIXTRAL, Architecture
from .reader import GGUFArray, GGUFError, GGUFFile

_SPECIAL = {"bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "padding_token_id": "pad_token_id"}
# Settings of the llama3 rope scaling that every published Llama 3.x has; its file holds only the resulting factors.
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def architecture_of(file: GGUFFile) -> Architecture:
    """The architecture that the file names. Raises: GGUFError for one that is not known."""
    name = file.metadata.get("general.architecture")
    if name not in ARCHITECTURES:
        raise GGUFError(
            f"{file.path} holds a model of architecture {name!r}, which this plugin does not know; "
            f"it knows {', '.join(sorted(ARCHITECTURES))}."
        )
    if name == "llama" and file.metadata.get("llama.expert_count"):
        return MIXTRAL
    return ARCHITECTURES[name]


def configuration(file: GGUFFile, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Everything config.json would say. `tensors`: gguf name to TensorInfo, of all parts."""
    architecture, meta = architecture_of(file), Metadata(file)
    config: dict[str, Any] = {"model_type": architecture.model_type, **architecture.constants}
    for key, name in architecture.fields.items():
        value = meta.get(key)
        if value is not None:
            config[name] = _uniform(value, key, file)
    for key, name in _SPECIAL.items():
        value = file.metadata.get(f"tokenizer.ggml.{key}")
        if value is not None:
            config[name] = value
    for stem, name in architecture.biases.items():
        config[name] = f"blk.0.{stem}.bias" in tensors
    for full, name in architecture.has.items():
        config[name] = full in tensors
    if "token_embd.weight" not in tensors:
        raise GGUFError(f"{file.path} has no token embeddings (token_embd.weight): it is no whole model.")
    config["vocab_size"] = tensors["token_embd.weight"].shape[0]
    config["tie_word_embeddings"] = "output.weight" not in tensors
    _head_size(config, architecture, meta)
    _rope_scaling(config, meta, file, tensors)
    _particulars(config, meta, tensors)
    return config


class Metadata:
    """The metadata under the architecture's own prefix."""

    def __init__(self, file: GGUFFile) -> None:
        self._values, self._prefix = file.metadata, f"{file.metadata['general.architecture']}."

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(self._prefix + key, default)


def _uniform(value: Any, key: str, file: GGUFFile) -> Any:
    """One number, also where the file states it for each layer."""
    if not isinstance(value, GGUFArray):
        return value
    distinct = set(value)
    if len(distinct) != 1:
        raise GGUFError(
            f"{file.path}: {key} differs from layer to layer, {sorted(distinct)}; no known model does that."
        )
    return distinct.pop()


def _head_size(config: dict[str, Any], architecture: Architecture, meta: Metadata) -> None:
    """head_dim where the family has it, and how much of the head is rotated."""
    rotated = meta.get("rope.dimension_count")
    if "attention.key_length" in architecture.fields:
        if "head_dim" not in config and rotated and architecture.model_type in ("llama", "mistral", "mixtral"):
            config["head_dim"] = rotated
    if architecture.partial_rotary and rotated:
        head = config["hidden_size"] // config["num_attention_heads"]
        config["partial_rotary_factor"] = rotated / head


def _rope_scaling(config: dict[str, Any], meta: Metadata, file: GGUFFile, tensors: Mapping[str, Any]) -> None:
    """rope_scaling in the spelling of config.json, from metadata (linear, yarn) or tensors of factors."""
    kind, factor = meta.get("rope.scaling.type"), meta.get("rope.scaling.factor")
    original = meta.get("rope.scaling.original_context_length")
    if "rope_factors_long.weight" in tensors:
        config["original_max_position_embeddings"] = original or config["max_position_embeddings"]
        config["rope_scaling"] = {
            "type": "longrope",
            "short_factor": _floats(file, tensors["rope_factors_short.weight"]),
            "long_factor": _floats(file, tensors["rope_factors_long.weight"]),
        }
    elif "rope_freqs.weight" in tensors:
        config["rope_scaling"] = _llama3(_floats(file, tensors["rope_freqs.weight"]), config, file)
    elif kind in ("linear", "yarn") and factor:
        config["rope_scaling"] = {"rope_type": kind, "factor": factor}
        if original:
            config["rope_scaling"]["original_max_position_embeddings"] = original
    elif kind not in (None, "none", "linear", "yarn"):
        raise GGUFError(f"{file.path}: rope scaling {kind!r} is not known.")


def _floats(file: GGUFFile, info: Any) -> list[float]:
    """A small float32 tensor as a list."""
    if info.type.name != "F32" or len(info.shape) != 1:
        raise GGUFError(f"{file.path}: {info.name} must be a vector of F32, not {info.type.name} {info.shape}.")
    return list(struct.unpack_from(f"<{info.shape[0]}f", file.data, info.start))


def _llama3(factors: list[float], config: dict[str, Any], file: GGUFFile) -> dict[str, Any]:
    """The llama3 rope scaling whose factors these are: recomputed, and refused where it does not come out the same."""
    settings = {"rope_type": "llama3", "factor": max(factors), **_LLAMA3}
    dim, theta = 2 * len(factors), config.get("rope_theta", 10000.0)
    low, high, length = (settings[k] for k in _LLAMA3)
    for i, found in enumerate(factors):
        wavelength = 2 * math.pi * theta ** (2 * i / dim)
        smooth = min(max((length / wavelength - low) / (high - low), 0.0), 1.0)
        expected = 1 / ((1 - smooth) / settings["factor"] + smooth)
        if not math.isclose(found, expected, rel_tol=1e-3):
            raise GGUFError(
                f"{file.path}: the rotary factors in rope_freqs.weight (number {i} is {found:.4g}, {expected:.4g} was "
                "expected) are not those of a llama3 scaling; this file cannot be represented."
            )
    return settings


def _particulars(config: dict[str, Any], meta: Metadata, tensors: Mapping[str, Any]) -> None:
    """What single families say in their own way."""
    kind = config["model_type"]
    if kind in ("gemma2", "gemma3_text"):
        # The largest models (46 and 62 layers) scale queries by the width per head, the others by the head's size.
        largest = {"gemma2": 46, "gemma3_text": 62}[kind]
        per_head = config["hidden_size"] // config["num_attention_heads"]
        config["query_pre_attn_scalar"] = per_head if config["num_hidden_layers"] == largest else config["head_dim"]
    if kind == "falcon":
        config["new_decoder_architecture"] = "blk.0.attn_norm_2.weight" in tensors
        config["multi_query"] = config.get("num_kv_heads", config["num_attention_heads"]) == 1
        config["parallel_attn"] = "blk.0.ffn_norm.weight" not in tensors
    if kind == "gpt2" and config.get("n_inner") == 4 * config["n_embd"]:
        del config["n_inner"]  # the published configs leave it out, as this is its default
