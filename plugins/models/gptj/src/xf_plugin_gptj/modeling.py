"""GPT-J (Wang and Komatsuzaki 2021): attention and feed-forward block side by side on one norm, interleaved rotation.

Shapes: B batch, T new tokens, K tokens so far, H heads, D head width, C model width, V vocabulary.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel
from xf_blocks.activations import get_activation
from xf_blocks.decoder_classic import ClassicAttention, ClassicDecoderModel
from xf_blocks.decoder_heads import CausalLM, DecoderForQuestionAnswering, DecoderForSequenceClassification
from xf_blocks.decoder_model import turn
from xf_blocks.rotary import InterleavedRotaryEmbedding, Rotation, rotate_first, rotate_interleaved
from xf_generation.mixin import GenerationMixin

from .configuration import GPTJConfig

_ROPE_THETA = 10000.0  # arXiv:2104.09864, section 3.2.2; no field of the config says otherwise


class GPTJPreTrainedModel(PreTrainedModel):
    """What all GPT-J models declare."""

    config_class = GPTJConfig
    base_model_prefix = "transformer"
    ignore_unexpected: ClassVar = ("*.attn.bias", "*.attn.masked_bias")  # causal masks that early checkpoints hold


class GPTJAttention(ClassicAttention):
    """Multi-head attention without biases; channel 2 i of the first rotary_dim is rotated with channel 2 i + 1."""

    def __init__(self, config: GPTJConfig, layer_idx: int) -> None:
        width = config.n_embd
        super().__init__(config, layer_idx, width // config.n_head, dropout=config.attn_pdrop)
        self.resid_pdrop = config.resid_pdrop
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.split(self.q_proj(x_BTC)), self.split(self.k_proj(x_BTC)), self.split(self.v_proj(x_BTC))

    def rotate(self, q_BHTD: Tensor, k_BHTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return rotate_first(q_BHTD, rotation, rotate_interleaved), rotate_first(k_BHTD, rotation, rotate_interleaved)

    def output(self, attended_BTC: Tensor) -> Tensor:
        return F.dropout(self.out_proj(attended_BTC), self.resid_pdrop, self.training)


class GPTJMLP(nn.Module):
    """fc_out(act(fc_in(x))) and dropout."""

    def __init__(self, config: GPTJConfig) -> None:
        super().__init__()
        inner = config.n_inner if config.n_inner is not None else 4 * config.n_embd
        self.fc_in = nn.Linear(config.n_embd, inner)
        self.fc_out = nn.Linear(inner, config.n_embd)
        self.act = get_activation(config.activation_function)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.dropout(self.fc_out(self.act(self.fc_in(x_BTC))))


class GPTJBlock(GradientCheckpointingLayer):
    """x += attention(norm(x)) + mlp(norm(x))."""

    def __init__(self, config: GPTJConfig, layer_idx: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = GPTJAttention(config, layer_idx)
        self.mlp = GPTJMLP(config)

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation | None,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
        head_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """See `xf_blocks.decoder_classic`."""
        normed = self.ln_1(x_BTC)
        attended, weights = self.attn(
            normed, rotation, attention_mask, past_key_values, cache_position, output_attentions, head_mask
        )
        return attended + self.mlp(normed) + x_BTC, weights


class GPTJModel(ClassicDecoderModel, GPTJPreTrainedModel):
    """Token embeddings, n_layer blocks, a last norm."""

    adds_token_types = True

    def build_extra(self, config: GPTJConfig) -> None:
        self.drop = nn.Dropout(config.embd_pdrop)
        angles = SimpleNamespace(
            rope_theta=_ROPE_THETA,
            head_dim=config.rotary_dim or config.n_embd // config.n_head,
            max_position_embeddings=config.n_positions,
        )
        self.rotary_emb = InterleavedRotaryEmbedding(angles)

    def build_layer(self, config: GPTJConfig, layer_idx: int) -> nn.Module:
        return GPTJBlock(config, layer_idx)

    def embed(self, x_BTC: Tensor, position_ids: Tensor | None, attention_mask: Any, start: int) -> Tensor:
        return self.drop(x_BTC)

    def rotation(self, x_BTC: Tensor, position_ids: Tensor | None, start: int) -> Rotation:
        return turn(self.rotary_emb, x_BTC, position_ids, start)


class GPTJForCausalLM(CausalLM, GPTJPreTrainedModel, GenerationMixin):
    """GPT-J with next-token logits."""

    body_class = GPTJModel
    tied_weights: ClassVar = {"lm_head.weight": "transformer.wte.weight"}

    def build_head(self, config: GPTJConfig) -> None:
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)


class GPTJForSequenceClassification(DecoderForSequenceClassification, GPTJPreTrainedModel):
    """GPT-J that classifies a sequence by its last token."""

    body_class = GPTJModel


class GPTJForQuestionAnswering(DecoderForQuestionAnswering, GPTJPreTrainedModel):
    """GPT-J that marks the span of an answer."""

    body_class = GPTJModel
