"""The heads of BERT (arXiv:1810.04805) that lie under `cls` in a checkpoint: masked tokens and next sentence.

Shapes: B batch, T tokens, V vocabulary, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from xf.outputs import NextSentencePredictorOutput

from .activations import get_activation
from .encoder_heads import EncoderWithHead
from .losses import cross_entropy, token_loss
from .text_lm import TextWithLMHead


class PredictionTransform(nn.Module):
    """LayerNorm(act(dense(x))), `width` wide."""

    def __init__(self, config: Any, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, width)
        self.transform_act_fn = get_activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, width)."""
        return self.LayerNorm(self.transform_act_fn(self.dense(x_BTC)))


class Predictions(nn.Module):
    """Vocabulary scores; the decoder's bias is also called `bias`. width: of the embeddings, hidden_size if None."""

    def __init__(self, config: Any, width: int | None = None) -> None:
        super().__init__()
        width = config.hidden_size if width is None else width
        self.transform = PredictionTransform(config, width)
        self.decoder = nn.Linear(width, config.vocab_size)
        self.bias = self.decoder.bias

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        return self.decoder(self.transform(x_BTC))


class ClsHeads(nn.Module):
    """The checkpoint's `cls`: `predictions` (a token for each place), `seq_relationship` (does B follow A), or both."""

    def __init__(self, config: Any, predictions: bool = False, seq_relationship: bool = False) -> None:
        super().__init__()
        if predictions:
            self.predictions = Predictions(config)
        if seq_relationship:
            self.seq_relationship = nn.Linear(config.hidden_size, 2)


class WithClsPredictions(TextWithLMHead):
    """Scores the vocabulary; a family says what the decoder is tied to."""

    always_tied_weights: ClassVar = {"cls.predictions.decoder.bias": "cls.predictions.bias"}

    def build_head(self, config: Any) -> None:
        self.cls = ClsHeads(config, predictions=True)

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        return self.cls.predictions(x_BTC)

    def get_output_embeddings(self) -> nn.Module:
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    def _resize_extra(self, size: int, mean_resizing: bool) -> None:
        self.cls.predictions.bias = self.cls.predictions.decoder.bias


class EncoderForPreTraining(WithClsPredictions, EncoderWithHead):
    """Both pretraining tasks: masked tokens and next sentence."""

    own_inputs = ("labels", "next_sentence_label")
    allow_missing: ClassVar = ("cls.seq_relationship.*",)  # a checkpoint of masked tokens alone starts both
    needs_pooler = True
    output_class: ClassVar[type[Any]]

    def build_head(self, config: Any) -> None:
        self.cls = ClsHeads(config, predictions=True, seq_relationship=True)

    def answer(self, outputs: Any, labels: Tensor | None, next_sentence_label: Tensor | None) -> Any:
        """labels (B, T), -100 where there is no loss; next_sentence_label (B,), 0 if it follows.

        The loss, if both are given, is the sum of the two means.
        """
        logits_BTV = self.lm_logits(outputs.last_hidden_state)
        follows_B2 = self.cls.seq_relationship(outputs.pooler_output)
        loss = None
        if labels is not None and next_sentence_label is not None:
            loss = token_loss(logits_BTV, labels) + cross_entropy(follows_B2, next_sentence_label.view(-1))
        return self.output_class(
            loss=loss,
            prediction_logits=logits_BTV,
            seq_relationship_logits=follows_B2,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class EncoderForNextSentencePrediction(EncoderWithHead):
    """Whether the second segment follows the first; labels (B,), 0 where it does, 1 where it is random."""

    needs_pooler = True

    def build_head(self, config: Any) -> None:
        self.cls = ClsHeads(config, seq_relationship=True)

    def answer(self, outputs: Any, labels: Tensor | None) -> NextSentencePredictorOutput:
        """The body's outputs and labels -> scores (B, 2) and loss."""
        logits_B2 = self.cls.seq_relationship(outputs.pooler_output)
        return NextSentencePredictorOutput(
            loss=None if labels is None else cross_entropy(logits_B2, labels.view(-1)),
            logits=logits_B2,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
