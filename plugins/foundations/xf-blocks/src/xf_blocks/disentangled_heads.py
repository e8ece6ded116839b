"""Heads of encoders of the DeBERTa kind (arXiv:2006.03654), whose pooler belongs to the head.

Shapes: B batch, T tokens, V vocabulary, N labels, E width of embeddings, C width.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from xf.outputs import SequenceClassifierOutput

from .activations import get_activation
from .encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
)
from .losses import classification_loss, cross_entropy
from .text_cls import Predictions


class ContextPooler(nn.Module):
    """act(dense(dropout(state of the first token)))."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.pooler_hidden_size, config.pooler_hidden_size)
        self.dropout = nn.Dropout(config.pooler_dropout)
        self.activation = get_activation(config.pooler_hidden_act)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, C)."""
        return self.activation(self.dense(self.dropout(x_BTC[:, 0])))


class NewPredictionHead(nn.Module):
    """Vocabulary scores by the word embeddings themselves: the layout of config.legacy=False."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.transform_act_fn = get_activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(self.dense.weight.new_zeros(config.vocab_size))

    def forward(self, x_BTC: Tensor, words_VC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        return F.linear(self.LayerNorm(self.transform_act_fn(self.dense(x_BTC))), words_VC, self.bias)


class DisentangledForMaskedLM(EncoderForMaskedLM):
    """Vocabulary scores: `cls.predictions` with config.legacy, else `lm_predictions.lm_head`."""

    def build_head(self, config: Any) -> None:
        self.legacy = config.legacy
        if config.legacy:
            self.cls = nn.Module()
            self.cls.predictions = Predictions(config, getattr(config, "embedding_size", None))
            self.tied_weights = {"cls.predictions.decoder.weight": "deberta.embeddings.word_embeddings.weight"}
            self.always_tied_weights = {"cls.predictions.decoder.bias": "cls.predictions.bias"}
        else:
            self.lm_predictions = nn.Module()
            self.lm_predictions.lm_head = NewPredictionHead(config)

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        if self.legacy:
            return self.cls.predictions(x_BTC)
        return self.lm_predictions.lm_head(x_BTC, self.get_input_embeddings().weight)

    def get_output_embeddings(self) -> nn.Module | None:
        return self.cls.predictions.decoder if self.legacy else None

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        if not self.legacy:
            raise NotImplementedError("With legacy=False the word embeddings make the scores: there is no other layer.")
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    def _resize_extra(self, size: int, mean_resizing: bool) -> None:
        if self.legacy:
            self.cls.predictions.bias = self.cls.predictions.decoder.bias
        else:
            head = self.lm_predictions.lm_head
            head.bias = self._resized(head.bias, size, mean_resizing)


def build_pooled_classifier(model: nn.Module, config: Any, labels: int) -> None:
    """`pooler`, dropout (config.cls_dropout, else hidden_dropout_prob), `classifier`."""
    model.pooler = ContextPooler(config)
    rate = getattr(config, "cls_dropout", None)
    model.dropout = nn.Dropout(config.hidden_dropout_prob if rate is None else rate)
    model.classifier = nn.Linear(config.pooler_hidden_size, labels)


class DisentangledForSequenceClassification(EncoderForSequenceClassification):
    """Scores (B, N) of the pooled first token."""

    def build_head(self, config: Any) -> None:
        build_pooled_classifier(self, config, config.num_labels)

    def classify(self, outputs: Any) -> Tensor:
        return self.classifier(self.dropout(self.pooler(outputs.last_hidden_state)))

    def answer(self, outputs: Any, labels: Tensor | None) -> SequenceClassifierOutput:
        """labels (B,) or (B, 1): classes or values; without config.problem_type also (B, N): probabilities."""
        logits_BN = self.classify(outputs)
        loss = None if labels is None else label_loss(logits_BN, labels, self.config)
        if loss is not None and self.config.problem_type is None and self.config.num_labels == 1:
            logits_BN = logits_BN.view(-1)  # published results: values to be learned come without their dimension
        return SequenceClassifierOutput(
            loss=loss,
            logits=logits_BN,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def label_loss(logits_BN: Tensor, labels: Tensor, config: Any) -> Tensor:
    """`classification_loss`, except without config.problem_type.

    Then several classes as (B,) or (B, 1) are cross entropy over the labels that are not negative (0 if all are), and
    (B, N) are probabilities: cross entropy with them. Normaliser: the labelled sequences.
    """
    if config.problem_type is not None:
        return classification_loss(logits_BN, labels, config)
    if config.num_labels == 1:
        return F.mse_loss(logits_BN.view(-1), labels.view(-1).to(logits_BN.dtype))
    if labels.ndim == 1 or labels.shape[-1] == 1:
        labels = labels.view(-1)
        labelled = labels >= 0
        if not bool(labelled.any()):
            return logits_BN.new_zeros(())
        return cross_entropy(logits_BN[labelled], labels[labelled].long())
    return -(F.log_softmax(logits_BN, -1) * labels).sum(-1).mean()


class DisentangledForMultipleChoice(EncoderForMultipleChoice):
    """One score for each choice, of the pooled first token."""

    def build_head(self, config: Any) -> None:
        build_pooled_classifier(self, config, 1)

    def classify(self, outputs: Any) -> Tensor:
        return self.classifier(self.dropout(self.pooler(outputs.last_hidden_state)))


class DisentangledForTokenClassification(EncoderForTokenClassification):
    """Scores (B, T, N) for every token."""

    def build_head(self, config: Any) -> None:
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)


class DisentangledForQuestionAnswering(EncoderForQuestionAnswering):
    """Scores (B, T) of start and end."""
