"""MobileBERT (arXiv:2004.02984) and its heads.

Shapes: B batch, T tokens, V vocabulary, E width of embeddings, C width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.mask import create_bidirectional_mask
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import BaseModelOutputWithPooling, ModelOutput
from xf_blocks.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
)
from xf_blocks.encoder_inputs import check_text
from xf_blocks.recorder import Recorder
from xf_blocks.text_cls import (
    EncoderForNextSentencePrediction,
    EncoderForPreTraining,
    PredictionTransform,
    WithClsPredictions,
)

from .configuration import MobileBertConfig
from .layers import MobileBertEmbeddings, MobileBertEncoder, MobileBertPooler


class MobileBertPreTrainedModel(PreTrainedModel):
    """What all MobileBERT models declare."""

    config_class = MobileBertConfig
    base_model_prefix = "mobilebert"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold


class MobileBertModel(MobileBertPreTrainedModel):
    """The encoder, with a pooler unless add_pooling_layer=False."""

    allow_missing: ClassVar = ("pooler.*",)  # models trained on masked tokens alone have none

    def __init__(self, config: MobileBertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = MobileBertEmbeddings(config)
        self.encoder = MobileBertEncoder(config)
        self.pooler = MobileBertPooler(config) if add_pooling_layer else None
        self._prune_heads(config.pruned_heads)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    def _prune_heads(self, heads_to_prune: dict[int, list[int]]) -> None:
        for layer, heads in heads_to_prune.items():
            self.encoder.layer[layer].attention.prune_heads(heads)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithPooling:
        """input_ids (B, T) or inputs_embeds (B, T, E); attention_mask (B, T) with 0 at padding, or 3D, or 4D.

        token_type_ids (B, T): the segment of each token. head_mask (H,) or (L, H): 1 to keep a head.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, and for a text that is too long.
        """
        check_text(self, input_ids, inputs_embeds, attention_mask)
        x_BTC = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
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


class MobileBertPredictions(nn.Module):
    """Vocabulary scores by the word embeddings (`decoder`) and, for the rest of the width, `dense` (C - E, V)."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.transform = PredictionTransform(config, config.hidden_size)
        self.dense = nn.Linear(config.vocab_size, config.hidden_size - config.embedding_size, bias=False)
        self.decoder = nn.Linear(config.embedding_size, config.vocab_size)
        self.bias = self.decoder.bias

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        words_CV = torch.cat((self.decoder.weight.t(), self.dense.weight), 0)
        return self.transform(x_BTC) @ words_CV + self.decoder.bias


class WithPredictions(WithClsPredictions):
    """A MobileBERT that scores the vocabulary."""

    tied_weights: ClassVar = {"cls.predictions.decoder.weight": "mobilebert.embeddings.word_embeddings.weight"}

    def build_head(self, config: MobileBertConfig) -> None:
        self.cls = nn.Module()
        self.cls.predictions = MobileBertPredictions(config)

    def _resize_extra(self, size: int, mean_resizing: bool) -> None:
        super()._resize_extra(size, mean_resizing)
        dense = self.cls.predictions.dense  # its rows are the width, its columns the vocabulary
        dense.weight = nn.Parameter(self._resized(dense.weight.t(), size, mean_resizing).t().contiguous())
        dense.in_features = size


@dataclass(repr=False)
class MobileBertForPreTrainingOutput(ModelOutput):
    """prediction_logits (B, T, V) and seq_relationship_logits (B, 2): (B follows A, B is random)."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    seq_relationship_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class MobileBertForPreTraining(WithPredictions, EncoderForPreTraining, MobileBertPreTrainedModel):
    """Both pretraining tasks: masked tokens and next sentence."""

    body_class = MobileBertModel
    output_class = MobileBertForPreTrainingOutput

    def build_head(self, config: MobileBertConfig) -> None:
        super().build_head(config)
        self.cls.seq_relationship = nn.Linear(config.hidden_size, 2)


class MobileBertForMaskedLM(WithPredictions, EncoderForMaskedLM, MobileBertPreTrainedModel):
    """Vocabulary scores for every place of a text."""

    body_class = MobileBertModel


class MobileBertForNextSentencePrediction(EncoderForNextSentencePrediction, MobileBertPreTrainedModel):
    """Whether the second segment follows the first."""

    body_class = MobileBertModel


class MobileBertForSequenceClassification(EncoderForSequenceClassification, MobileBertPreTrainedModel):
    """Classifies a text by its pooled first token."""

    body_class = MobileBertModel


class MobileBertForMultipleChoice(EncoderForMultipleChoice, MobileBertPreTrainedModel):
    """Scores each of several continuations."""

    body_class = MobileBertModel


class MobileBertForTokenClassification(EncoderForTokenClassification, MobileBertPreTrainedModel):
    """Classifies each token."""

    body_class = MobileBertModel


class MobileBertForQuestionAnswering(EncoderForQuestionAnswering, MobileBertPreTrainedModel):
    """Marks the span of an answer."""

    body_class = MobileBertModel
