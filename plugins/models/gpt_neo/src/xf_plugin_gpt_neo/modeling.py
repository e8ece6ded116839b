"""GPT-Neo (Black et al. 2021): GPT-2's decoder with unscaled scores, every other layer of which sees a window only.

Shapes: B batch, T new tokens, K tokens so far, H heads, D head width, C model width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.cache import Cache
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel
from xf_blocks.activations import get_activation
from xf_blocks.decoder_classic import ClassicAttention, ClassicDecoderModel, learned_positions
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.rotary import Rotation
from xf_generation.mixin import GenerationMixin

from .configuration import GPTNeoConfig


class GPTNeoPreTrainedModel(PreTrainedModel):
    """What all GPT-Neo models declare."""

    config_class = GPTNeoConfig
    base_model_prefix = "transformer"
    attention_needs = AttentionNeeds(sliding_window=True)
    ignore_unexpected: ClassVar = (  # causal masks that early checkpoints hold
        "*.attn.attention.bias",
        "*.attn.attention.masked_bias",
    )


class GPTNeoSelfAttention(ClassicAttention):
    """Multi-head attention whose scores are not divided by the root of the width; computed in float32."""

    def __init__(self, config: GPTNeoConfig, layer_idx: int) -> None:
        width = config.hidden_size
        super().__init__(config, layer_idx, width // config.num_heads, dropout=config.attention_dropout, scaling=1.0)
        if config.attention_layers[layer_idx] == "local":
            self.kernel_options = {"sliding_window": config.window_size}
        self.resid_dropout = nn.Dropout(config.resid_dropout)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.split(self.q_proj(x_BTC)), self.split(self.k_proj(x_BTC)), self.split(self.v_proj(x_BTC))

    def output(self, attended_BTC: Tensor) -> Tensor:
        return self.resid_dropout(self.out_proj(attended_BTC.to(self.out_proj.weight.dtype)))

    def attend(self, q_BHTD: Tensor, k_BHKD: Tensor, v_BHKD: Tensor, mask: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(mask, Tensor) and mask.is_floating_point():
            mask = mask.float()  # large unscaled scores do not fit into half precision
        return super().attend(q_BHTD.float(), k_BHKD.float(), v_BHKD.float(), mask, *args, **kwargs)


class GPTNeoAttention(nn.Module):
    """The attention of a layer under the name that checkpoints have for it."""

    def __init__(self, config: GPTNeoConfig, layer_idx: int) -> None:
        super().__init__()
        self.attention = GPTNeoSelfAttention(config, layer_idx)

    def forward(self, *args: Any) -> tuple[Tensor, Tensor | None]:
        """See `xf_blocks.decoder_classic.ClassicAttention`."""
        return self.attention(*args)


class GPTNeoMLP(nn.Module):
    """c_proj(act(c_fc(x))) and dropout."""

    def __init__(self, config: GPTNeoConfig) -> None:
        super().__init__()
        inner = config.intermediate_size if config.intermediate_size is not None else 4 * config.hidden_size
        self.c_fc = nn.Linear(config.hidden_size, inner)
        self.c_proj = nn.Linear(inner, config.hidden_size)
        self.act = get_activation(config.activation_function)
        self.resid_dropout = config.resid_dropout

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return F.dropout(self.c_proj(self.act(self.c_fc(x_BTC))), self.resid_dropout, self.training)


class GPTNeoBlock(GradientCheckpointingLayer):
    """x += attn(ln_1(x)); x += mlp(ln_2(x))."""

    def __init__(self, config: GPTNeoConfig, layer_idx: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.attn = GPTNeoAttention(config, layer_idx)
        self.ln_2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.mlp = GPTNeoMLP(config)

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
        attended, weights = self.attn(
            self.ln_1(x_BTC), rotation, attention_mask, past_key_values, cache_position, output_attentions, head_mask
        )
        x_BTC = x_BTC + attended
        return x_BTC + self.mlp(self.ln_2(x_BTC)), weights


class GPTNeoModel(ClassicDecoderModel, GPTNeoPreTrainedModel):
    """Token and position embeddings, num_layers blocks, a last norm."""

    adds_token_types = True

    def build_extra(self, config: GPTNeoConfig) -> None:
        self.wpe = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.drop = nn.Dropout(config.embed_dropout)

    def build_layer(self, config: GPTNeoConfig, layer_idx: int) -> nn.Module:
        return GPTNeoBlock(config, layer_idx)

    def embed(self, x_BTC: Tensor, position_ids: Tensor | None, attention_mask: Any, start: int) -> Tensor:
        return self.drop(x_BTC + learned_positions(self.wpe, x_BTC, position_ids, start))


class GPTNeoForCausalLM(CausalLM, GPTNeoPreTrainedModel, GenerationMixin):
    """GPT-Neo with next-token logits."""

    body_class = GPTNeoModel
    tied_weights: ClassVar = {"lm_head.weight": "transformer.wte.weight"}


class GPTNeoForSequenceClassification(DecoderForSequenceClassification, GPTNeoPreTrainedModel):
    """GPT-Neo that classifies a sequence by its last token."""

    body_class = GPTNeoModel


class GPTNeoForTokenClassification(DecoderForTokenClassification, GPTNeoPreTrainedModel):
    """GPT-Neo that classifies each token."""

    body_class = GPTNeoModel
    head_name = "classifier"


class GPTNeoForQuestionAnswering(DecoderForQuestionAnswering, GPTNeoPreTrainedModel):
    """GPT-Neo that marks the span of an answer."""

    body_class = GPTNeoModel
