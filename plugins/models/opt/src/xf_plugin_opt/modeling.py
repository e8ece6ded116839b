"""OPT (arXiv:2205.01068): GPT-3's decoder, pre- or post-norm, with learned positions that do not count padding.

Shapes: B batch, T new tokens, K tokens so far, H heads, D head width, C model width, E embedding width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel, model_forward
from xf.outputs import BaseModelOutputWithPast
from xf_blocks.activations import get_activation
from xf_blocks.decoder_classic import ClassicAttention, ClassicDecoderModel
from xf_blocks.decoder_heads import CausalLM, DecoderForQuestionAnswering, DecoderForSequenceClassification
from xf_blocks.rotary import Rotation
from xf_generation.mixin import GenerationMixin

from .configuration import OPTConfig

_FIRST_POSITION = 2  # the table has two rows more than there are positions, in front: the published checkpoints' layout


class OPTPreTrainedModel(PreTrainedModel):
    """What all OPT models declare."""

    config_class = OPTConfig
    base_model_prefix = "model"


class OPTAttention(ClassicAttention):
    """Multi-head attention."""

    def __init__(self, config: OPTConfig, layer_idx: int) -> None:
        width = config.hidden_size
        super().__init__(config, layer_idx, width // config.num_attention_heads, dropout=config.attention_dropout)
        self.k_proj = nn.Linear(width, width, bias=config.enable_bias)
        self.v_proj = nn.Linear(width, width, bias=config.enable_bias)
        self.q_proj = nn.Linear(width, width, bias=config.enable_bias)
        self.out_proj = nn.Linear(width, width, bias=config.enable_bias)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.split(self.q_proj(x_BTC)), self.split(self.k_proj(x_BTC)), self.split(self.v_proj(x_BTC))

    def output(self, attended_BTC: Tensor) -> Tensor:
        return self.out_proj(attended_BTC)


class OPTDecoderLayer(GradientCheckpointingLayer):
    """x += attention(norm(x)); x += fc2(act(fc1(norm(x)))); or each norm after its sum."""

    def __init__(self, config: OPTConfig, layer_idx: int) -> None:
        super().__init__()
        self.norm_first, self.dropout, self.layerdrop = config.do_layer_norm_before, config.dropout, config.layerdrop
        affine = config.layer_norm_elementwise_affine
        self.self_attn = OPTAttention(config, layer_idx)
        self.activation_fn = get_activation(config.activation_function)
        self.self_attn_layer_norm = nn.LayerNorm(config.hidden_size, elementwise_affine=affine)
        self.fc1 = nn.Linear(config.hidden_size, config.ffn_dim, bias=config.enable_bias)
        self.fc2 = nn.Linear(config.ffn_dim, config.hidden_size, bias=config.enable_bias)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, elementwise_affine=affine)

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
        if self.training and self.layerdrop and float(torch.rand(())) < self.layerdrop:
            return x_BTC, None
        attended, weights = self.self_attn(
            self.self_attn_layer_norm(x_BTC) if self.norm_first else x_BTC,
            rotation, attention_mask, past_key_values, cache_position, output_attentions, head_mask,
        )  # fmt: skip
        x_BTC = x_BTC + F.dropout(attended, self.dropout, self.training)
        if not self.norm_first:
            x_BTC = self.self_attn_layer_norm(x_BTC)
        inner = self.fc2(self.activation_fn(self.fc1(self.final_layer_norm(x_BTC) if self.norm_first else x_BTC)))
        x_BTC = x_BTC + F.dropout(inner, self.dropout, self.training)
        return (x_BTC if self.norm_first else self.final_layer_norm(x_BTC)), weights


class OPTDecoder(ClassicDecoderModel, OPTPreTrainedModel):
    """Embeddings, layers, a last norm."""

    embeddings_name = "embed_tokens"
    layers_name = "layers"
    norm_name = "final_layer_norm"

    def build_embeddings(self, config: OPTConfig) -> nn.Module:
        return nn.Embedding(config.vocab_size, config.word_embed_proj_dim, config.pad_token_id)

    def build_extra(self, config: OPTConfig) -> None:
        wide, narrow = config.hidden_size, config.word_embed_proj_dim
        self.embed_positions = nn.Embedding(config.max_position_embeddings + _FIRST_POSITION, wide)
        self.project_in = None if wide == narrow else nn.Linear(narrow, wide, bias=False)
        self.project_out = None if wide == narrow else nn.Linear(wide, narrow, bias=False)

    def build_layer(self, config: OPTConfig, layer_idx: int) -> nn.Module:
        return OPTDecoderLayer(config, layer_idx)

    def build_norm(self, config: OPTConfig) -> nn.Module | None:
        if not config.do_layer_norm_before or config._remove_final_layer_norm:
            return None
        return nn.LayerNorm(config.hidden_size, elementwise_affine=config.layer_norm_elementwise_affine)

    def embed(self, x_BTC: Tensor, position_ids: Tensor | None, attention_mask: Any, start: int) -> Tensor:
        length = x_BTC.shape[1]
        if isinstance(attention_mask, Tensor) and attention_mask.ndim == 2:
            if position_ids is None or position_ids.shape[0] != attention_mask.shape[0]:
                seen = attention_mask.long()  # padding stands at -1
                position_ids = (seen.cumsum(1) * seen - 1)[:, -length:]
        elif position_ids is None:
            position_ids = torch.arange(start, start + length, device=x_BTC.device)[None]
        if length and int(position_ids.max()) >= self.config.max_position_embeddings:
            raise ValueError(
                f"The text has {int(position_ids.max()) + 1} tokens, but the model has "
                f"{self.config.max_position_embeddings} positions."
            )
        if self.project_in is not None:
            x_BTC = self.project_in(x_BTC)
        return x_BTC + self.embed_positions(position_ids + _FIRST_POSITION)

    def finish(self, x_BTC: Tensor) -> Tensor:
        x_BTC = super().finish(x_BTC)
        return x_BTC if self.project_out is None else self.project_out(x_BTC)


class OPTModel(OPTPreTrainedModel):
    """The decoder under the name that its checkpoints have for it."""

    def __init__(self, config: OPTConfig) -> None:
        super().__init__(config)
        self.decoder = OPTDecoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.decoder.embed_tokens = value

    def get_decoder(self) -> nn.Module:
        """The decoder."""
        return self.decoder

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        head_mask: Tensor | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """See `xf_blocks.decoder_classic.ClassicDecoderModel.forward`."""
        return self.decoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            head_mask=head_mask,
            use_cache=use_cache,
            cache_position=cache_position,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **kwargs,
        )


class OPTForCausalLM(CausalLM, OPTPreTrainedModel, GenerationMixin):
    """OPT with next-token logits."""

    body_class = OPTModel
    tied_weights: ClassVar = {"lm_head.weight": "model.decoder.embed_tokens.weight"}

    def build_head(self, config: OPTConfig) -> None:
        self.lm_head = nn.Linear(config.word_embed_proj_dim, config.vocab_size, bias=False)


class OPTForSequenceClassification(DecoderForSequenceClassification, OPTPreTrainedModel):
    """OPT that classifies a sequence by its last token."""

    body_class = OPTModel

    def build_head(self, config: OPTConfig) -> None:
        self.score = nn.Linear(config.word_embed_proj_dim, config.num_labels, bias=False)


class OPTForQuestionAnswering(DecoderForQuestionAnswering, OPTPreTrainedModel):
    """OPT that marks the span of an answer."""

    body_class = OPTModel

    def build_head(self, config: OPTConfig) -> None:
        self.qa_outputs = nn.Linear(config.word_embed_proj_dim, 2)
