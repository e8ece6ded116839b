"""Tiny random checkpoints that come out the same in every environment.

Each tensor is filled from a numpy generator seeded by the seed and the tensor's own name, so neither the order of
modules nor a tensor that one implementation lacks changes the others. The same few lines run in the reference
environment (`xf_testing.reference_worker` imports this file's functions), so both sides load the same file.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Buffers with learned statistics; every other buffer keeps the value it was built with.
_STATISTICS = ("running_mean", "running_var")


def generator_for(name: str, seed: int = 0) -> np.random.Generator:
    """The generator of the tensor called `name`."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def tiny_values(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    """Values (float32) for a tensor: scaled so that activations stay near one and nothing is negligible.

    Vectors called "weight" are scales near one, other vectors small shifts, variances positive, matrices have
    standard deviation 1/sqrt(fan in) but at least 0.05 (embeddings, whose first dimension is no fan in).
    """
    values = generator_for(name, seed).standard_normal(shape).astype(np.float32)
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        return (0.5 + np.abs(values)).astype(np.float32)
    if len(shape) <= 1:
        return (1 + 0.1 * values if last in ("weight", "gamma", "scale") else 0.1 * values).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    return (values * max(0.05, fan_in**-0.5)).astype(np.float32)


def fill_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fill all parameters and learned statistics of `module` in place by name; a shared tensor takes its first name.

    Returns the module. Floating point only; integer parameters keep their values.
    """
    named = dict(module.named_parameters(remove_duplicate=False))
    named |= {n: b for n, b in module.named_buffers() if n.rsplit(".", 1)[-1] in _STATISTICS}
    done: set[int] = set()
    with torch.no_grad():
        for name in sorted(named):
            tensor = named[name]
            if tensor.is_floating_point() and id(tensor) not in done:
                tensor.copy_(torch.from_numpy(np.asarray(tiny_values(name, tuple(tensor.shape), seed))))
                done.add(id(tensor))
    return module


def tiny_ids(shape: tuple[int, ...], vocab_size: int, *, seed: int = 0, low: int = 3) -> Tensor:
    """Token ids in [low, vocab_size), int64; low leaves out the usual special tokens."""
    return torch.from_numpy(np.random.default_rng(seed).integers(low, vocab_size, size=shape, dtype=np.int64))


def tiny_floats(shape: tuple[int, ...], *, seed: int = 0) -> Tensor:
    """Standard normal values, float32."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def tiny_checkpoint(model: Any, folder: str | Path, seed: int = 0) -> Path:
    """Fill `model` (a PreTrainedModel) and save it to `folder`; returns the folder."""
    fill_weights(model, seed)
    model.save_pretrained(folder)
    return Path(folder)


# Sizes that make any architecture tiny without changing what it is. Names are config fields of published checkpoints.
_SMALL: Mapping[str, int] = {
    "hidden_size": 32, "d_model": 32, "n_embd": 32, "dim": 32, "embed_dim": 32, "embedding_size": 32, "emb_dim": 32,
    "intermediate_size": 37, "ffn_dim": 37, "d_ff": 37, "n_inner": 37, "encoder_ffn_dim": 37, "decoder_ffn_dim": 37,
    "mlp_dim": 37, "hidden_dim": 37,
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "encoder_layers": 2, "decoder_layers": 2,
    "num_decoder_layers": 2, "num_encoder_layers": 2,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "d_kv": 8,
    "vocab_size": 99, "max_position_embeddings": 64, "n_positions": 64, "max_source_positions": 32,
    "max_target_positions": 32, "image_size": 32, "patch_size": 8, "num_mel_bins": 16,
}  # fmt: skip


def shrink(config_class: Any, **settings: Any) -> Any:
    """A tiny config of `config_class`: well-known sizes made small, special token ids inside the vocabulary.

    `settings` win. Sub-configs are shrunk as well. For an architecture whose sizes depend on each other in another
    way, write the tiny config by hand.
    """
    known = config_class().to_dict()
    changes: dict[str, Any] = {k: v for k, v in _SMALL.items() if isinstance(known.get(k), int)}
    vocab = settings.get("vocab_size", changes.get("vocab_size"))
    for key, value in known.items():
        if key.endswith("_token_id") and isinstance(value, int) and vocab and value >= vocab:
            changes[key] = vocab - 1
        if key.endswith("_token_id") and isinstance(value, list) and vocab:
            changes[key] = [v if v < vocab else vocab - 1 for v in value]
        if key == "pad_token_id" and value is None:
            changes[key] = 0  # heads that look for the end of a row need one
    for key, sub_class in getattr(config_class, "sub_configs", {}).items():
        if isinstance(sub_class, type) and hasattr(sub_class, "model_type"):
            changes[key] = shrink(sub_class).to_dict()
    return config_class(**{**changes, **settings})


def save_json(path: str | Path, value: Any) -> None:
    """JSON with a fixed layout, so that a recorded file changes only where its content does."""
    Path(path).write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True) + "\n", encoding="utf-8")
