"""Frequencies of rotary position embeddings, one function for each kind of scaling that configs name.

Each takes (config, device, seq_len) and returns (inv_freq, attention_factor): inv_freq (D / 2,) float32, where D is the
rotated width; cos and sin are multiplied by attention_factor. What it reads from the config: rope_theta, head_dim (or
hidden_size / num_attention_heads), partial_rotary_factor, max_position_embeddings, and rope_scaling with its rope_type.
Only "dynamic" and "longrope" depend on seq_len, the number of positions in use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

RopeKind = Callable[..., tuple[Tensor, float]]


def rotated_width(config: Any) -> int:
    """Number of channels D of each head that are rotated."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(head_dim * (getattr(config, "partial_rotary_factor", None) or 1.0))


def rope_type_of(config: Any) -> str:
    """The kind that config.rope_scaling names under "rope_type" (or "type", in older files); "default" without one."""
    scaling = getattr(config, "rope_scaling", None) or {}
    return str(scaling.get("rope_type", scaling.get("type", "default")))


def _powers(config: Any, device: Any, base: float | Tensor | None = None) -> Tensor:
    """base ** (2 i / D) for i in 0 ... D / 2 - 1 (arXiv:2104.09864, section 3.2.2)."""
    width = rotated_width(config)
    exponents = torch.arange(0, width, 2, dtype=torch.int64, device=device).float() / width
    return (config.rope_theta if base is None else base) ** exponents


def default_rope(config: Any, device: Any = "cpu", seq_len: int | None = None) -> tuple[Tensor, float]:
    """No scaling (arXiv:2104.09864)."""
    return 1.0 / _powers(config, device), 1.0


def linear_rope(config: Any, device: Any = "cpu", seq_len: int | None = None) -> tuple[Tensor, float]:
    """Position interpolation: all positions divided by factor (arXiv:2306.15595)."""
    return default_rope(config, device)[0] / config.rope_scaling["factor"], 1.0


def dynamic_rope(config: Any, device: Any = "cpu", seq_len: int | Tensor | None = None) -> tuple[Tensor, float]:
    """NTK-aware scaling whose base grows with the text once it is longer than the model was trained for.

    Source: the "dynamic NTK" rule of arXiv:2309.00071, appendix B.1 and section 3.3. A length that comes as a tensor
    makes the base a float32 too; at a few hundred positions the rounding is seen in the fifth decimal of cos and sin.
    """
    trained = config.max_position_embeddings
    length = trained if seq_len is None or seq_len < trained else seq_len
    factor, width = config.rope_scaling["factor"], rotated_width(config)
    base = config.rope_theta * (factor * length / trained - (factor - 1)) ** (width / (width - 2))
    return 1.0 / _powers(config, device, base), 1.0


def yarn_rope(config: Any, device: Any = "cpu", seq_len: int | None = None) -> tuple[Tensor, float]:
    """YaRN: low frequencies are interpolated, high ones kept, with a ramp between (arXiv:2309.00071, section 3.2).

    Optional keys of rope_scaling: beta_fast 32, beta_slow 1 (the paper's values for this family), attention_factor,
    mscale and mscale_all_dim, truncate True, original_max_position_embeddings (then the ratio of both is the factor).
    """
    scaling, width = config.rope_scaling, rotated_width(config)
    factor = scaling.get("factor")
    original = scaling.get("original_max_position_embeddings")
    if original is not None:
        factor = config.max_position_embeddings / original
    else:
        original = config.max_position_embeddings
    low, high = _yarn_ramp_ends(config.rope_theta, width, original, scaling)
    steps = torch.arange(width // 2, dtype=torch.float32, device=device)
    kept_share = 1 - ((steps - low) / (high - low)).clamp(0, 1)
    powers = _powers(config, device)
    inv_freq = 1.0 / (factor * powers) * (1 - kept_share) + 1.0 / powers * kept_share
    return inv_freq, _yarn_attention_factor(scaling, factor)


def _yarn_ramp_ends(base: float, width: int, original: int, scaling: dict[str, Any]) -> tuple[float, float]:
    """Ends of the ramp: the frequency indices that turn beta_fast and beta_slow times in `original` positions."""

    def index_with_turns(turns: float) -> float:
        return width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    low = index_with_turns(scaling.get("beta_fast") or 32)
    high = index_with_turns(scaling.get("beta_slow") or 1)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    return low, high if high != low else high + 0.001  # keeps the ramp's slope finite


def _yarn_attention_factor(scaling: dict[str, Any], factor: float) -> float:
    """Temperature of attention, 0.1 ln(factor) + 1 (arXiv:2309.00071, equation 22), with its published variations."""
    given, mscale, mscale_all = (scaling.get(key) for key in ("attention_factor", "mscale", "mscale_all_dim"))
    if given is not None:
        return float(given)

    def temperature(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    return temperature(mscale) / temperature(mscale_all) if mscale and mscale_all else temperature(1.0)


def longrope(config: Any, device: Any = "cpu", seq_len: int | Tensor | None = None) -> tuple[Tensor, float]:
    """LongRoPE: every frequency has its own factor, one list for short and one for long texts (arXiv:2402.13753)."""
    scaling = config.rope_scaling
    original = longrope_original_length(config)
    own_original = getattr(config, "original_max_position_embeddings", None)
    factor = config.max_position_embeddings / own_original if own_original else scaling.get("factor")
    attention_factor = scaling.get("attention_factor")
    if attention_factor is None:
        attention_factor = 1.0 if factor <= 1.0 else math.sqrt(1 + math.log(factor) / math.log(original))
    key = "long_factor" if seq_len and seq_len > original else "short_factor"
    factors = torch.tensor(scaling[key], dtype=torch.float32, device=device)
    return 1.0 / (factors * _powers(config, device)), float(attention_factor)


def longrope_original_length(config: Any) -> int:
    """Positions up to which a longrope model uses its short factors."""
    return int(getattr(config, "original_max_position_embeddings", None) or config.max_position_embeddings)


def llama3_rope(config: Any, device: Any = "cpu", seq_len: int | None = None) -> tuple[Tensor, float]:
    """Llama 3.1: long wavelengths are divided by factor, short ones kept, those between blended (arXiv:2407.21783)."""
    scaling = config.rope_scaling
    factor, original = scaling["factor"], scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    inv_freq = default_rope(config, device)[0]
    wavelengths = 2 * math.pi / inv_freq
    kept_share = ((original / wavelengths - low) / (high - low)).clamp(0, 1)
    return (1 - kept_share) * inv_freq / factor + kept_share * inv_freq, 1.0


ROPE_INIT_FUNCTIONS: dict[str, RopeKind] = {
    "default": default_rope,
    "linear": linear_rope,
    "dynamic": dynamic_rope,
    "yarn": yarn_rope,
    "longrope": longrope,
    "llama3": llama3_rope,
}


def rope_kind(config: Any) -> RopeKind:
    """The frequency function of config's kind.

    Raises: ValueError for a kind that does not exist.
    """
    name = rope_type_of(config)
    if name not in ROPE_INIT_FUNCTIONS:
        raise ValueError(f"rope_scaling has rope_type {name!r}; the known ones are {', '.join(ROPE_INIT_FUNCTIONS)}.")
    return ROPE_INIT_FUNCTIONS[name]
