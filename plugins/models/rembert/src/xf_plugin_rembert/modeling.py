"""RemBERT (arXiv:2010.12821) and its heads: BERT with narrow input and wide output embeddings, which are not tied.

Shapes: B batch, T tokens, V vocabulary, E width of the input embeddings, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from xf.interfaces.model import PreTrainedModel
from xf.outputs import BaseModelOutputWithPastAndCrossAttentions
from xf_blocks.activations import get_activation
from xf_blocks.text_encoder import TextEmbeddings, TextEncoder
from xf_blocks.text_heads import (
    TextForMultipleChoice,
    TextForQuestionAnswering,
    TextForSequenceClassification,
    TextForTokenClassification,
)
from xf_blocks.text_lm import TextForCausalLM, TextForMaskedLM, TextWithLMHead
from xf_blocks.text_model import TextModel
from xf_generation.mixin import GenerationMixin

from .configuration import RemBertConfig


class RemBertPreTrainedModel(PreTrainedModel):
    """What all RemBERT models declare."""

    config_class = RemBertConfig
    base_model_prefix = "rembert"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold


class Embeddings(TextEmbeddings):
    """BERT's embeddings, config.input_embedding_size wide."""

    def __init__(self, config: RemBertConfig) -> None:
        super().__init__(config, config.input_embedding_size)


class Encoder(TextEncoder):
    """The layers on the projected embeddings."""

    def __init__(self, config: RemBertConfig) -> None:
        super().__init__(config)
        self.embedding_hidden_mapping_in = nn.Linear(config.input_embedding_size, config.hidden_size)

    def forward(self, embedded_BTE: Tensor, *args: Any, **kwargs: Any) -> BaseModelOutputWithPastAndCrossAttentions:
        """As `TextEncoder.forward`."""
        return super().forward(self.embedding_hidden_mapping_in(embedded_BTE), *args, **kwargs)


class RemBertModel(TextModel, RemBertPreTrainedModel):
    """The encoder (or decoder, see `xf_blocks.text_model`), with a pooler unless add_pooling_layer=False."""

    embeddings_class = Embeddings
    encoder_class = Encoder
    allow_missing: ClassVar = ("pooler.*",)  # models trained on masked tokens alone have none


class Predictions(nn.Module):
    """Vocabulary scores: decoder(LayerNorm(act(dense(x))))."""

    def __init__(self, config: RemBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.output_embedding_size)
        self.decoder = nn.Linear(config.output_embedding_size, config.vocab_size)
        self.activation = get_activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.output_embedding_size, eps=config.layer_norm_eps)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        return self.decoder(self.LayerNorm(self.activation(self.dense(x_BTC))))


class RemBertWithPredictions(TextWithLMHead, RemBertPreTrainedModel):
    """A RemBERT that scores the vocabulary."""

    body_class = RemBertModel

    def build_head(self, config: RemBertConfig) -> None:
        self.cls = nn.Module()
        self.cls.predictions = Predictions(config)

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        return self.cls.predictions(x_BTC)

    def get_output_embeddings(self) -> nn.Module:
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.cls.predictions.decoder = new_embeddings


class RemBertForMaskedLM(RemBertWithPredictions, TextForMaskedLM):
    """Vocabulary scores for every place of a text."""


class RemBertForCausalLM(RemBertWithPredictions, TextForCausalLM, GenerationMixin):
    """A causal RemBERT (config.is_decoder=True) with next-token logits; it keeps its cache with labels too."""

    def wants_cache(self, use_cache: bool | None, labels: Tensor | None) -> bool | None:
        return use_cache


def build_classifier(model: nn.Module, config: RemBertConfig, labels: int) -> None:
    """dropout(config.classifier_dropout_prob) and a linear classifier."""
    model.dropout = nn.Dropout(config.classifier_dropout_prob)
    model.classifier = nn.Linear(config.hidden_size, labels)


class RemBertForSequenceClassification(TextForSequenceClassification, RemBertPreTrainedModel):
    """Classifies a text by its pooled first token."""

    body_class = RemBertModel

    def build_head(self, config: RemBertConfig) -> None:
        build_classifier(self, config, config.num_labels)


class RemBertForTokenClassification(TextForTokenClassification, RemBertPreTrainedModel):
    """Classifies each token."""

    body_class = RemBertModel

    def build_head(self, config: RemBertConfig) -> None:
        build_classifier(self, config, config.num_labels)


class RemBertForMultipleChoice(TextForMultipleChoice, RemBertPreTrainedModel):
    """Scores each of several continuations."""

    body_class = RemBertModel

    def build_head(self, config: RemBertConfig) -> None:
        build_classifier(self, config, 1)


class RemBertForQuestionAnswering(TextForQuestionAnswering, RemBertPreTrainedModel):
    """Marks the span of an answer."""

    body_class = RemBertModel
