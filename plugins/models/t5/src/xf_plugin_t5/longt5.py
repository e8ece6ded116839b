"""LongT5 (arXiv:2112.07916): T5 v1.1 whose encoder reads long texts; config, model and heads.

Shapes: B batch, S tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.cache import Cache

from .configuration import T5BaseConfig
from .heads import T5ForConditionalGeneration
from .layers import T5Block
from .longt5_attention import ENCODER_ATTENTION, LongT5EncoderSelfAttention, LongT5TransientGlobalAttention
from .modeling import T5EncoderModel, T5Model, T5PreTrainedModel, T5Stack


class LongT5Config(T5BaseConfig):
    """The defaults are those of LongT5 with T5 small's sizes.

    encoder_attention_type: "local", or "transient-global", where tokens also attend to the sums of the blocks of
    global_block_size tokens. local_radius: how far a token sees to each side.
    Raises: ValueError for another type.
    """

    model_type = "longt5"

    local_radius: int = 127
    global_block_size: int = 16
    encoder_attention_type: str = "local"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder_attention_type not in ENCODER_ATTENTION:
            known = " or ".join(map(repr, ENCODER_ATTENTION))
            raise ValueError(f"encoder_attention_type is {self.encoder_attention_type!r}; it can be {known}.")


class LongT5PreTrainedModel(T5PreTrainedModel):
    """What all LongT5 models declare."""

    config_class = LongT5Config
    attention_needs = AttentionNeeds(additive_bias=True, dropout=True)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LongT5TransientGlobalAttention) and hasattr(module, "global_relative_attention_bias"):
            std = self.config.initializer_factor * self.config.d_model**-0.5
            module.global_relative_attention_bias.weight.normal_(0.0, std)


class LongT5EncoderBlock(T5Block):
    """A block with local attention."""

    def build_self_attention(self, config: T5BaseConfig, is_decoder: bool, layer_idx: int) -> nn.Module:
        if is_decoder:
            return super().build_self_attention(config, is_decoder, layer_idx)
        return LongT5EncoderSelfAttention(config, layer_idx)


class LongT5Stack(LongT5PreTrainedModel, T5Stack):
    """The encoder of such blocks, or T5's decoder."""

    block_class = LongT5EncoderBlock

    def self_masks(self, x_BSC: Tensor, mask: Tensor | None, positions: Tensor, cache: Cache | None) -> list[Any]:
        if self.is_decoder:
            return super().self_masks(x_BSC, mask, positions, cache)
        shape, device = x_BSC.shape[:2], x_BSC.device
        is_token_BS = torch.ones(shape, dtype=torch.bool, device=device) if mask is None else mask.bool()
        return [self.block[0].layer[0].attention.shared(is_token_BS, x_BSC.dtype)] * len(self.block)


class LongT5Model(LongT5PreTrainedModel, T5Model):
    """Encoder and decoder without a head."""

    stack_class = LongT5Stack


class LongT5EncoderModel(LongT5PreTrainedModel, T5EncoderModel):
    """The encoder alone."""

    stack_class = LongT5Stack


class LongT5ForConditionalGeneration(LongT5PreTrainedModel, T5ForConditionalGeneration):
    """LongT5 with next-token logits of the decoder."""

    stack_class = LongT5Stack
