"""The layers of ModernBERT (arXiv:2412.13663): rotary positions, gated feed-forward, global and local attention.

Shapes: B batch, T tokens, H heads, D head width, F width of the feed-forward, C width.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf.interfaces.model import GradientCheckpointingLayer
from xf_blocks.activations import get_activation
from xf_blocks.rotary import RotaryEmbedding, rotate

from .configuration import ModernBertConfig


def norm(config: ModernBertConfig) -> nn.LayerNorm:
    """The LayerNorm of the config."""
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


class ModernBertEmbeddings(nn.Module):
    """Words, then LayerNorm and dropout; positions are in the attention."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.norm = norm(config)
        self.drop = nn.Dropout(config.embedding_dropout)

    def forward(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """input_ids (B, T) or inputs_embeds (B, T, C) -> (B, T, C)."""
        x_BTC = self.tok_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        return self.drop(self.norm(x_BTC))


class ModernBertMLP(nn.Module):
    """Wo(dropout(act(a) * b)), (a, b) the halves of Wi(x) (arXiv:2002.05202)."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.Wi = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=config.mlp_bias)
        self.act = get_activation(config.hidden_activation)
        self.drop = nn.Dropout(config.mlp_dropout)
        self.Wo = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        a_BTF, b_BTF = self.Wi(x_BTC).chunk(2, dim=-1)
        return self.Wo(self.drop(self.act(a_BTF) * b_BTF))


class ModernBertAttention(AttentionModule):
    """Self-attention with rotated queries and keys, to all tokens or to those near by."""

    def __init__(self, config: ModernBertConfig, layer_id: int) -> None:
        super().__init__(config)
        if config.hidden_size % config.num_attention_heads:
            raise ValueError(
                f"hidden_size ({config.hidden_size}) must be a multiple of num_attention_heads "
                f"({config.num_attention_heads})."
            )
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_local = layer_id % config.global_attn_every_n_layers != 0
        theta = config.global_rope_theta
        if self.is_local and config.local_rope_theta is not None:
            theta = config.local_rope_theta
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.attention_bias)
        self.rotary_emb = RotaryEmbedding(
            SimpleNamespace(
                rope_theta=theta,
                head_dim=self.head_dim,
                max_position_embeddings=config.max_position_embeddings,
                rope_scaling=None,
            )
        )
        self.Wo = nn.Linear(config.hidden_size, config.hidden_size, bias=config.attention_bias)
        self.out_drop = nn.Dropout(config.attention_dropout)

    def forward(
        self, x_BTC: Tensor, masks: tuple[Any, Any], position_ids: Tensor | None, output_attentions: bool
    ) -> tuple[Tensor, Tensor | None]:
        """masks: (of global layers, of local ones). position_ids: (B, T), or None for 0, 1, 2 ..."""
        length = x_BTC.shape[1]
        qkv = self.Wqkv(x_BTC).view(*x_BTC.shape[:2], 3, self.num_heads, self.head_dim)
        q_BHTD, k_BHTD, v_BHTD = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if position_ids is None:
            rotation = self.rotary_emb.rotation(q_BHTD, 0, length)
        else:
            rotation = self.rotary_emb.rotation_at(q_BHTD, position_ids)
        out_BTHD, weights = self.attend(
            rotate(q_BHTD, rotation), rotate(k_BHTD, rotation), v_BHTD, masks[self.is_local], output_attentions
        )
        return self.out_drop(self.Wo(out_BTHD.flatten(2))), weights


class ModernBertEncoderLayer(GradientCheckpointingLayer):
    """x + attention(norm(x)), then x + mlp(norm(x)); the first layer reads the embeddings, which are normed already."""

    def __init__(self, config: ModernBertConfig, layer_id: int) -> None:
        super().__init__()
        self.attn_norm: nn.Module = nn.Identity() if layer_id == 0 else norm(config)
        self.attn = ModernBertAttention(config, layer_id)
        self.mlp_norm = norm(config)
        self.mlp = ModernBertMLP(config)

    def forward(self, x_BTC: Tensor, *args: Any) -> tuple[Tensor, Tensor | None]:
        """States (B, T, C) and weights (B, H, T, T), where asked."""
        attended_BTC, weights = self.attn(self.attn_norm(x_BTC), *args)
        x_BTC = x_BTC + attended_BTC
        return x_BTC + self.mlp(self.mlp_norm(x_BTC)), weights
