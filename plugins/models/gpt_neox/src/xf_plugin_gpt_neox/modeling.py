"""GPT-NeoX (arXiv:2204.06745): attention and feed-forward side by side, each with a norm of its own.

Shapes: B batch, T tokens, K tokens so far, H heads, D head width, V vocabulary, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf.interfaces.cache import Cache
from xf.interfaces.model import PreTrainedModel
from xf.interfaces.model_utils import GradientCheckpointingLayer
from xf_blocks.activations import get_activation
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.rotary import Rotation, rotate_first
from xf_generation.mixin import GenerationMixin

from .configuration import GPTNeoXConfig


class GPTNeoXPreTrainedModel(PreTrainedModel):
    """What all GPT-NeoX models declare."""

    config_class = GPTNeoXConfig
    base_model_prefix = "gpt_neox"
    ignore_unexpected: ClassVar = (  # constants that early checkpoints hold
        "*.attention.bias",
        "*.attention.masked_bias",
        "*.attention.rotary_emb.inv_freq",
    )


class GPTNeoXAttention(AttentionModule):
    """One matrix for queries, keys and values, interleaved head by head; the first part of each head is rotated."""

    is_causal = True

    def __init__(self, config: GPTNeoXConfig, layer_idx: int) -> None:
        super().__init__(config)
        self.layer_idx = layer_idx
        self.head_size = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_size**-0.5
        self.attention_dropout = config.attention_dropout
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.attention_bias)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.attention_bias)

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
        head_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and, where a kernel gives them, the weights (B, H, T, K)."""
        heads = self.query_key_value(x_BTC).view(*x_BTC.shape[:2], -1, 3 * self.head_size).transpose(1, 2)
        q_BHTD, k_BHKD, v_BHKD = heads.chunk(3, dim=-1)
        q_BHTD, k_BHKD = rotate_first(q_BHTD, rotation), rotate_first(k_BHKD, rotation)
        if past_key_values is not None:
            where = None if cache_position is None else {"cache_position": cache_position}
            k_BHKD, v_BHKD = past_key_values.update(k_BHKD, v_BHKD, self.layer_idx, where)
        options = {} if head_mask is None else {"head_mask": head_mask}
        out_BTHD, weights = self.attend(q_BHTD, k_BHKD, v_BHKD, attention_mask, output_attentions, **options)
        return self.dense(out_BTHD.flatten(2)), weights


class GPTNeoXMLP(nn.Module):
    """dense_4h_to_h(act(dense_h_to_4h(x)))."""

    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config.hidden_size, config.intermediate_size)
        self.dense_4h_to_h = nn.Linear(config.intermediate_size, config.hidden_size)
        self.act = get_activation(config.hidden_act)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.dense_4h_to_h(self.act(self.dense_h_to_4h(x_BTC)))


class GPTNeoXLayer(GradientCheckpointingLayer):
    """x + attention(norm(x)) + mlp(norm'(x)); or one after the other, without use_parallel_residual."""

    def __init__(self, config: GPTNeoXConfig, layer_idx: int) -> None:
        super().__init__()
        self.use_parallel_residual, self.hidden_dropout = config.use_parallel_residual, config.hidden_dropout
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = GPTNeoXAttention(config, layer_idx)
        self.mlp = GPTNeoXMLP(config)

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
        head_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """See `xf_blocks.decoder_layer`; head_mask (1, H, 1, 1): 1 to keep a head."""
        attended, weights = self.attention(
            self.input_layernorm(x_BTC),
            rotation,
            attention_mask,
            past_key_values,
            cache_position,
            output_attentions,
            head_mask,
        )
        attended = F.dropout(attended, self.hidden_dropout, self.training)
        before_mlp = x_BTC if self.use_parallel_residual else x_BTC + attended
        inner = F.dropout(self.mlp(self.post_attention_layernorm(before_mlp)), self.hidden_dropout, self.training)
        return x_BTC + attended + inner, weights


class GPTNeoXModel(DecoderModel, GPTNeoXPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    embeddings_name = "embed_in"
    norm_name = "final_layer_norm"

    def build_embeddings(self, config: GPTNeoXConfig) -> nn.Embedding:
        return nn.Embedding(config.vocab_size, config.hidden_size)  # padding is a token as any other

    def build_layer(self, config: GPTNeoXConfig, layer_idx: int) -> nn.Module:
        return GPTNeoXLayer(config, layer_idx)

    def build_norm(self, config: GPTNeoXConfig) -> nn.Module:
        return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def scale_inputs(self, x_BTC: Tensor) -> Tensor:
        return F.dropout(x_BTC, self.config.hidden_dropout, self.training)


class GPTNeoXForCausalLM(CausalLM, GPTNeoXPreTrainedModel, GenerationMixin):
    """GPT-NeoX with next-token logits."""

    body_class = GPTNeoXModel
    tied_weights: ClassVar = {"embed_out.weight": "gpt_neox.embed_in.weight"}

    def build_head(self, config: GPTNeoXConfig) -> None:
        self.embed_out = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        return self.embed_out(hidden_BTC)

    def get_output_embeddings(self) -> nn.Module:
        return self.embed_out

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.embed_out = new_embeddings


class GPTNeoXForSequenceClassification(DecoderForSequenceClassification, GPTNeoXPreTrainedModel):
    """GPT-NeoX that classifies a sequence by its last token."""

    body_class = GPTNeoXModel


class GPTNeoXForTokenClassification(DecoderForTokenClassification, GPTNeoXPreTrainedModel):
    """GPT-NeoX that classifies each token."""

    body_class = GPTNeoXModel
    head_name = "classifier"


class GPTNeoXForQuestionAnswering(DecoderForQuestionAnswering, GPTNeoXPreTrainedModel):
    """GPT-NeoX that marks the span of an answer."""

    body_class = GPTNeoXModel
