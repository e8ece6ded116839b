"""Multi-head latent attention: keys and values of all heads come from one vector per token (arXiv:2405.04434).

Shapes: B batch, T new tokens, H heads, D width of queries and keys, R their rotated part, P the rest, E of values,
C model width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .decoder_attention import DecoderAttention
from .norms import RMSNorm
from .rotary import Rotation, rotate_interleaved


class LatentAttention(DecoderAttention):
    """Section 2.1 of arXiv:2405.04434: low-rank projections with a norm between; one rotated key part for all heads.

    The config says q_lora_rank (None: queries by one matrix), kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim,
    v_head_dim and attention_bias.
    """

    def __init__(self, config: Any, layer_idx: int, *, scaling: float | None = None) -> None:
        self.parts = (config.qk_nope_head_dim, config.qk_rope_head_dim)
        self.value_width, self.latent_width = config.v_head_dim, config.kv_lora_rank
        super().__init__(config, layer_idx, scaling=sum(self.parts) ** -0.5 if scaling is None else scaling)

    def build_projections(self, hidden_size: int, heads: int, groups: int, qkv_bias: bool, out_bias: bool) -> None:
        bias, rank = self.config.attention_bias, self.config.q_lora_rank
        flat, turned = self.parts
        if rank is None:
            self.q_proj = nn.Linear(hidden_size, heads * (flat + turned), bias=False)
        else:
            self.q_a_proj = nn.Linear(hidden_size, rank, bias=bias)
            self.q_a_layernorm = RMSNorm(rank)
            self.q_b_proj = nn.Linear(rank, heads * (flat + turned), bias=False)
        self.kv_a_proj_with_mqa = nn.Linear(hidden_size, self.latent_width + turned, bias=bias)
        self.kv_a_layernorm = RMSNorm(self.latent_width)
        self.kv_b_proj = nn.Linear(self.latent_width, heads * (flat + self.value_width), bias=False)
        self.o_proj = nn.Linear(heads * self.value_width, hidden_size, bias=bias)
        self.queries = self._queries_direct if rank is None else self._queries_low_rank

    def _queries_direct(self, x_BTC: Tensor) -> Tensor:
        return self.q_proj(x_BTC)

    def _queries_low_rank(self, x_BTC: Tensor) -> Tensor:
        return self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x_BTC)))

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys (B, H, T, D), values (B, H, T, E); the rotated part of keys is that of all heads."""
        flat, turned = self.parts
        q_BHTD = self.queries(x_BTC).unflatten(-1, (-1, flat + turned)).transpose(1, 2)
        latent, k_BTR = self.kv_a_proj_with_mqa(x_BTC).split((self.latent_width, turned), dim=-1)
        kv_BTHF = self.kv_b_proj(self.kv_a_layernorm(latent)).unflatten(-1, (-1, flat + self.value_width))
        k_BHTP, v_BHTE = kv_BTHF.transpose(1, 2).split((flat, self.value_width), dim=-1)
        k_BHTR = k_BTR[:, None].expand(-1, k_BHTP.shape[1], -1, -1)
        return q_BHTD, torch.cat([k_BHTP, k_BHTR], dim=-1), v_BHTE

    def turn(self, x_BHTR: Tensor, rotation: Rotation) -> Tensor:
        """The rotation of a rotated part: neighbouring channels are pairs."""
        return rotate_interleaved(x_BHTR, rotation)

    def rotate(self, q_BHTD: Tensor, k_BHTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        q_BHTP, q_BHTR = q_BHTD.split(self.parts, dim=-1)
        k_BHTP, k_BHTR = k_BHTD.split(self.parts, dim=-1)
        k_B1TR = self.turn(k_BHTR[:, :1], rotation)
        return (
            torch.cat([q_BHTP, self.turn(q_BHTR, rotation)], dim=-1),
            torch.cat([k_BHTP, k_B1TR.expand(-1, k_BHTP.shape[1], -1, -1)], dim=-1),
        )


def yarn_scaling(config: Any) -> float:
    """The factor on scores: D^-1/2, times the square of YaRN's temperature where rope_scaling names mscale_all_dim."""
    plain = float((config.qk_nope_head_dim + config.qk_rope_head_dim) ** -0.5)
    scaling = config.rope_scaling or {}
    weight, factor = scaling.get("mscale_all_dim"), scaling.get("factor", 1.0)
    if not weight or factor <= 1:
        return plain
    return plain * float(0.1 * weight * math.log(factor) + 1.0) ** 2
