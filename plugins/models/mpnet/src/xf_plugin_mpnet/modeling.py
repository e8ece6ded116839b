"""MPNet (arXiv:2004.09297) and its heads: RoBERTa's layout with a bias by distance on the scores, shared by all layers.

Shapes: B batch, T tokens, V vocabulary, L layers, H heads, C width.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.mask import create_bidirectional_mask
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel, model_forward
from xf.outputs import BaseModelOutputWithPooling
from xf_blocks.attention_bias import mask_with_bias
from xf_blocks.encoder_attention import EncoderAttention
from xf_blocks.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
)
from xf_blocks.encoder_inputs import check_text
from xf_blocks.recorder import Recorder
from xf_blocks.text_encoder import ResidualOutput, TextIntermediate, TextPooler
from xf_blocks.text_roberta import ClassificationHead, OffsetPositions, WithLMHead

from .configuration import MPNetConfig

_PADDING = 1  # the position of padding; the config's pad_token_id does not change it
_MAX_DISTANCE = 128  # from here on all distances are one class (arXiv:1910.10683, section 2.1)


class MPNetPreTrainedModel(PreTrainedModel):
    """What all MPNet models declare."""

    config_class = MPNetConfig
    base_model_prefix = "mpnet"
    attention_needs = AttentionNeeds(additive_bias=True)
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold


class Embeddings(OffsetPositions):
    """Words + positions, then LayerNorm and dropout."""

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        self.padding_idx = _PADDING
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=_PADDING)
        self.position_embeddings = nn.Embedding(
            config.max_position_embeddings, config.hidden_size, padding_idx=_PADDING
        )
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor | None, position_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """input_ids (B, T) or inputs_embeds (B, T, C) -> (B, T, C)."""
        if position_ids is None:
            position_ids = self.position_ids(input_ids, inputs_embeds, 0)
        x_BTC = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        return self.dropout(self.LayerNorm(x_BTC + self.position_embeddings(position_ids)))


class SelfAttention(EncoderAttention):
    """Self-attention under the checkpoint's names."""

    names = ("q", "k", "v", "o")


class AttentionBlock(nn.Module):
    """LayerNorm(x + dropout(attention(x)))."""

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        self.attn = SelfAttention(
            config, config.hidden_size, config.num_attention_heads, config.attention_probs_dropout_prob
        )
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x_BTC: Tensor, *args: Any) -> tuple[Tensor, Tensor | None]:
        """As the attention's forward."""
        attended_BTC, weights = self.attn(x_BTC, *args)
        return self.LayerNorm(x_BTC + self.dropout(attended_BTC)), weights


class MPNetLayer(GradientCheckpointingLayer):
    """Self-attention and feed-forward; each LayerNorm(x + f(x))."""

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        self.attention = AttentionBlock(config)
        self.intermediate = TextIntermediate(config)
        self.output = ResidualOutput(config, config.intermediate_size)

    def forward(self, x_BTC: Tensor, *args: Any) -> tuple[Tensor, Tensor | None]:
        """States (B, T, C) and weights (B, H, T, T), where asked."""
        x_BTC, weights = self.attention(x_BTC, *args)
        return self.output(self.intermediate(x_BTC), x_BTC), weights


class Encoder(nn.Module):
    """The layers, and the bias on their scores for each class of distances and head."""

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([MPNetLayer(config) for _ in range(config.num_hidden_layers)])
        self.buckets = config.relative_attention_num_buckets
        self.relative_attention_bias = nn.Embedding(self.buckets, config.num_attention_heads)

    def position_bias(self, position_ids: Tensor) -> Tensor:
        """(1, H, T, T) for the distances of the T positions."""
        distance_TT = position_ids[None, :] - position_ids[:, None]
        return self.relative_attention_bias(distance_buckets(distance_TT, self.buckets)).permute(2, 0, 1)[None]

    def forward(self, x_BTC: Tensor, mask: Any, head_mask: Any, seen: Recorder, output_attentions: bool) -> Tensor:
        """(B, T, C) -> (B, T, C); `seen` collects states and weights."""
        bias_1HTT = self.position_bias(torch.arange(x_BTC.shape[1], device=x_BTC.device)).to(x_BTC.dtype)
        biased = mask_with_bias(mask, bias_1HTT, is_causal=False)
        for index, layer in enumerate(self.layer):
            seen.state(x_BTC)
            x_BTC, weights = layer(x_BTC, biased, None if head_mask is None else head_mask[index], output_attentions)
            seen.weights(weights)
        seen.state(x_BTC)
        return x_BTC


def distance_buckets(distance: Tensor, buckets: int) -> Tensor:
    """Classes of distances key - query, as in T5 (arXiv:1910.10683): half for keys after the query.

    Of each half the first half is one class a distance, the rest grows logarithmically up to _MAX_DISTANCE.
    """
    half = buckets // 2
    exact = half // 2
    size = distance.abs()
    growth = torch.log(size.clamp(min=1).float() / exact) / math.log(_MAX_DISTANCE / exact)
    wide = (exact + (growth * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(size < exact, size, wide) + (distance > 0) * half


class MPNetModel(MPNetPreTrainedModel):
    """The encoder, with a pooler unless add_pooling_layer=False."""

    allow_missing: ClassVar = ("pooler.*",)  # models trained on masked tokens alone have none

    def __init__(self, config: MPNetConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = TextPooler(config) if add_pooling_layer else None
        self._prune_heads(config.pruned_heads)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    def _prune_heads(self, heads_to_prune: dict[int, list[int]]) -> None:
        if heads_to_prune:
            raise NotImplementedError("MPNet's layers share one bias for each head: its heads cannot be pruned.")

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithPooling:
        """input_ids (B, T) or inputs_embeds (B, T, C); attention_mask (B, T) with 0 at padding, or 3D, or 4D.

        head_mask (H,) or (L, H): 1 to keep a head.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, and for a text that is too long.
        """
        check_text(self, input_ids, inputs_embeds, attention_mask)
        x_BTC = self.embeddings(input_ids, position_ids, inputs_embeds)
        mask = create_bidirectional_mask(self.config, x_BTC, attention_mask)
        heads = None if head_mask is None else self.get_head_mask(head_mask, self.config.num_hidden_layers)
        seen = Recorder(output_hidden_states, output_attentions)
        x_BTC = self.encoder(x_BTC, mask, heads, seen, output_attentions)
        return BaseModelOutputWithPooling(
            last_hidden_state=x_BTC,
            pooler_output=None if self.pooler is None else self.pooler(x_BTC),
            hidden_states=seen.hidden_states,
            attentions=seen.attentions,
        )


class MPNetForMaskedLM(WithLMHead, EncoderForMaskedLM, MPNetPreTrainedModel):
    """Vocabulary scores for every place of a text."""

    body_class = MPNetModel
    tied_weights: ClassVar = {"lm_head.decoder.weight": "mpnet.embeddings.word_embeddings.weight"}


class MPNetForSequenceClassification(EncoderForSequenceClassification, MPNetPreTrainedModel):
    """Classifies a text by the state of its first token."""

    body_class = MPNetModel
    needs_pooler = False

    def build_head(self, config: MPNetConfig) -> None:
        self.classifier = ClassificationHead(config)

    def classify(self, outputs: Any) -> Tensor:
        return self.classifier(outputs.last_hidden_state)


class MPNetForMultipleChoice(EncoderForMultipleChoice, MPNetPreTrainedModel):
    """Scores each of several continuations."""

    body_class = MPNetModel


class MPNetForTokenClassification(EncoderForTokenClassification, MPNetPreTrainedModel):
    """Classifies each token."""

    body_class = MPNetModel


class MPNetForQuestionAnswering(EncoderForQuestionAnswering, MPNetPreTrainedModel):
    """Marks the span of an answer."""

    body_class = MPNetModel
