"""ALBERT (arXiv:1909.11942) and its heads: BERT with narrow embeddings, layers that share weights, sentence order.

Shapes: B batch, T tokens, V vocabulary, E width of embeddings, C width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.mask import create_bidirectional_mask
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import BaseModelOutputWithPooling, ModelOutput
from xf_blocks.activations import get_activation
from xf_blocks.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
    EncoderWithHead,
)
from xf_blocks.encoder_inputs import check_text
from xf_blocks.losses import cross_entropy, token_loss
from xf_blocks.recorder import Recorder
from xf_blocks.text_encoder import TextEmbeddings
from xf_blocks.text_model import text_attention_needs

from .configuration import AlbertConfig
from .layers import AlbertEncoder

_TIED = {"predictions.decoder.weight": "albert.embeddings.word_embeddings.weight"}
_ALWAYS_TIED = {"predictions.decoder.bias": "predictions.bias"}


class AlbertPreTrainedModel(PreTrainedModel):
    """What all ALBERT models declare."""

    config_class = AlbertConfig
    base_model_prefix = "albert"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold

    @classmethod
    def needs_of(cls, config: Any) -> AttentionNeeds:
        return text_attention_needs(config)


class Embeddings(TextEmbeddings):
    """BERT's embeddings, config.embedding_size wide."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__(config, config.embedding_size)


class AlbertModel(AlbertPreTrainedModel):
    """The encoder, with a pooler unless add_pooling_layer=False."""

    allow_missing: ClassVar = ("pooler.*",)  # models trained on masked tokens alone have none

    def __init__(self, config: AlbertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = AlbertEncoder(config)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size) if add_pooling_layer else None
        self._prune_heads(config.pruned_heads)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    def _prune_heads(self, heads_to_prune: dict[int, list[int]]) -> None:
        """Layers are numbered without repetition: those of group 0, then those of group 1 ..."""
        for layer, heads in heads_to_prune.items():
            group, inner = divmod(layer, self.config.inner_group_num)
            self.encoder.albert_layer_groups[group].albert_layers[inner].attention.prune_heads(heads)

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
        embedded_BTE = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        mask = create_bidirectional_mask(self.config, embedded_BTE, attention_mask)
        heads = None if head_mask is None else self.get_head_mask(head_mask, self.config.num_hidden_layers)
        seen = Recorder(output_hidden_states, output_attentions)
        x_BTC = self.encoder(embedded_BTE, mask, heads, seen, output_attentions)
        return BaseModelOutputWithPooling(
            last_hidden_state=x_BTC,
            pooler_output=None if self.pooler is None else self.pooler(x_BTC[:, 0]).tanh(),
            hidden_states=seen.hidden_states,
            attentions=seen.attentions,
        )


class AlbertMLMHead(nn.Module):
    """Vocabulary scores: decoder(LayerNorm(act(dense(x)))); the decoder's bias is also called `bias`."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.dense = nn.Linear(config.hidden_size, config.embedding_size)
        self.decoder = nn.Linear(config.embedding_size, config.vocab_size)
        self.activation = get_activation(config.hidden_act)
        self.bias = self.decoder.bias

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        return self.decoder(self.LayerNorm(self.activation(self.dense(x_BTC))))


class AlbertSOPHead(nn.Module):
    """Whether two segments are in order, (B, 2)."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, pooled_BC: Tensor) -> Tensor:
        """(B, C) -> (B, 2)."""
        return self.classifier(self.dropout(pooled_BC))


class AlbertWithPredictions(EncoderWithHead, AlbertPreTrainedModel):
    """An ALBERT that scores the vocabulary."""

    tied_weights: ClassVar = _TIED
    always_tied_weights: ClassVar = _ALWAYS_TIED

    def build_head(self, config: AlbertConfig) -> None:
        self.predictions = AlbertMLMHead(config)

    def get_output_embeddings(self) -> nn.Module:
        return self.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.predictions.decoder = new_embeddings
        self.predictions.bias = new_embeddings.bias

    def _resize_extra(self, size: int, mean_resizing: bool) -> None:
        self.predictions.bias = self.predictions.decoder.bias


@dataclass(repr=False)
class AlbertForPreTrainingOutput(ModelOutput):
    """prediction_logits (B, T, V) and sop_logits (B, 2): (in order, swapped)."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    sop_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class AlbertForPreTraining(AlbertWithPredictions):
    """Both pretraining tasks: masked tokens and sentence order."""

    body_class = AlbertModel
    needs_pooler = True
    own_inputs = ("labels", "sentence_order_label")
    allow_missing: ClassVar = ("sop_classifier.*",)  # a checkpoint of masked tokens alone starts both

    def build_head(self, config: AlbertConfig) -> None:
        super().build_head(config)
        self.sop_classifier = AlbertSOPHead(config)

    def answer(
        self, outputs: Any, labels: Tensor | None, sentence_order_label: Tensor | None
    ) -> AlbertForPreTrainingOutput:
        """labels (B, T), -100 where there is no loss; sentence_order_label (B,), 1 if swapped.

        The loss, if both are given, is the sum of the two means.
        """
        logits_BTV = self.predictions(outputs.last_hidden_state)
        order_B2 = self.sop_classifier(outputs.pooler_output)
        loss = None
        if labels is not None and sentence_order_label is not None:
            loss = token_loss(logits_BTV, labels) + cross_entropy(order_B2, sentence_order_label.view(-1))
        return AlbertForPreTrainingOutput(
            loss=loss,
            prediction_logits=logits_BTV,
            sop_logits=order_B2,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class AlbertForMaskedLM(AlbertWithPredictions, EncoderForMaskedLM):
    """Vocabulary scores for every place of a text."""

    body_class = AlbertModel

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        return self.predictions(x_BTC)


def build_classifier(model: nn.Module, config: AlbertConfig, labels: int) -> None:
    """dropout(config.classifier_dropout_prob) and a linear classifier."""
    model.dropout = nn.Dropout(config.classifier_dropout_prob)
    model.classifier = nn.Linear(config.hidden_size, labels)


class AlbertForSequenceClassification(EncoderForSequenceClassification, AlbertPreTrainedModel):
    """Classifies a text by its pooled first token."""

    body_class = AlbertModel

    def build_head(self, config: AlbertConfig) -> None:
        build_classifier(self, config, config.num_labels)


class AlbertForTokenClassification(EncoderForTokenClassification, AlbertPreTrainedModel):
    """Classifies each token."""

    body_class = AlbertModel

    def build_head(self, config: AlbertConfig) -> None:
        build_classifier(self, config, config.num_labels)


class AlbertForMultipleChoice(EncoderForMultipleChoice, AlbertPreTrainedModel):
    """Scores each of several continuations."""

    body_class = AlbertModel

    def build_head(self, config: AlbertConfig) -> None:
        build_classifier(self, config, 1)


class AlbertForQuestionAnswering(EncoderForQuestionAnswering, AlbertPreTrainedModel):
    """Marks the span of an answer."""

    body_class = AlbertModel
