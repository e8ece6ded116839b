"""Mamba2Config (arXiv:2405.21060)."""

from __future__ import annotations

import math
from typing import Any

from xf.interfaces.config import PretrainedConfig


class Mamba2Config(PretrainedConfig):
    """The defaults are those of Mamba-Codestral 7B.

    expand: inner width in multiples of hidden_size, which num_heads heads of head_dim share. n_groups: groups of heads
    with the same b and c. chunk_size: tokens that the scan takes at once. time_step_limit: range of the time steps;
    time_step_*: their random start. rms_norm: norm of the gated output (always there in published models).
    """

    model_type = "mamba2"

    num_heads: int = 128
    head_dim: int = 64
    vocab_size: int = 32768
    hidden_size: int = 4096
    state_size: int = 128
    num_hidden_layers: int = 64
    layer_norm_epsilon: float = 1e-5
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    expand: int = 2
    conv_kernel: int = 4
    n_groups: int = 8
    use_bias: bool = False
    use_conv_bias: bool = True
    hidden_act: str = "silu"
    initializer_range: float = 0.1
    residual_in_fp32: bool = True
    time_step_rank: int | str = "auto"
    time_step_min: float = 0.001
    time_step_max: float = 0.1
    time_step_floor: float = 1e-4
    time_step_limit: Any = (0.0, float("inf"))
    rescale_prenorm_residual: bool = False
    use_cache: bool = True
    rms_norm: bool = True
    chunk_size: int = 256
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
        inner = self.hidden_size * self.expand
        if inner != self.num_heads * self.head_dim:
            raise ValueError(
                f"hidden_size * expand ({self.hidden_size} * {self.expand}) must be num_heads * head_dim "
                f"({self.num_heads} * {self.head_dim})."
            )
        if self.num_heads % self.n_groups:
            raise ValueError(f"num_heads ({self.num_heads}) must be a multiple of n_groups ({self.n_groups}).")
        if self.time_step_rank == "auto":
            self.time_step_rank = math.ceil(self.hidden_size / 16)
