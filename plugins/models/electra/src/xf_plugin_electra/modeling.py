"""ELECTRA (arXiv:2003.10555) and its heads: BERT's encoder on narrower embeddings, without a pooler.

Shapes: B batch, T tokens, V vocabulary, N labels, E width of embeddings, C width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from xf.checkpoint.rules import KeyRule
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import ModelOutput
from xf_blocks.activations import get_activation
from xf_blocks.sequence_summary import SequenceSummary
from xf_blocks.text_encoder import TextEmbeddings
from xf_blocks.text_heads import (
    TextForMultipleChoice,
    TextForQuestionAnswering,
    TextForSequenceClassification,
    TextForTokenClassification,
    TextModelWithHead,
    classifier_dropout,
)
from xf_blocks.text_lm import TextForCausalLM, TextForMaskedLM, TextWithLMHead
from xf_blocks.text_model import TextModel
from xf_generation.mixin import GenerationMixin

from .configuration import ElectraConfig


class ElectraPreTrainedModel(PreTrainedModel):
    """What all ELECTRA models declare."""

    config_class = ElectraConfig
    base_model_prefix = "electra"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold
    key_rules: ClassVar = (  # names of checkpoints that were converted from TensorFlow
        KeyRule("*.LayerNorm.gamma", "*.LayerNorm.weight", load_only=True),
        KeyRule("*.LayerNorm.beta", "*.LayerNorm.bias", load_only=True),
    )


class Embeddings(TextEmbeddings):
    """BERT's embeddings, config.embedding_size wide."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config, config.embedding_size)


class ElectraModel(TextModel, ElectraPreTrainedModel):
    """The encoder (or decoder, see `xf_blocks.text_model`)."""

    embeddings_class = Embeddings

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config, add_pooling_layer=False)
        if config.embedding_size != config.hidden_size:
            self.embeddings_project = nn.Linear(config.embedding_size, config.hidden_size)
        self.projects = config.embedding_size != config.hidden_size
        self.post_init()

    def embed(self, *inputs: Any) -> Tensor:
        embedded_BTE = super().embed(*inputs)
        return self.embeddings_project(embedded_BTE) if self.projects else embedded_BTE


class ElectraWithHead(TextModelWithHead, ElectraPreTrainedModel):
    """An ELECTRA with a head."""

    body_class = ElectraModel

    def build_body(self, config: ElectraConfig) -> ElectraModel:
        return ElectraModel(config)


class GeneratorPredictions(nn.Module):
    """LayerNorm(gelu(dense(x))), as wide as the embeddings."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.dense = nn.Linear(config.hidden_size, config.embedding_size)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, E)."""
        return self.LayerNorm(F.gelu(self.dense(x_BTC)))


class ElectraGenerator(TextWithLMHead, ElectraWithHead):
    """An ELECTRA that scores the vocabulary."""

    tied_weights: ClassVar = {"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"}

    def build_head(self, config: ElectraConfig) -> None:
        self.generator_predictions = GeneratorPredictions(config)
        self.generator_lm_head = nn.Linear(config.embedding_size, config.vocab_size)

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        return self.generator_lm_head(self.generator_predictions(x_BTC))

    def get_output_embeddings(self) -> nn.Module:
        return self.generator_lm_head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.generator_lm_head = new_embeddings


class ElectraForMaskedLM(ElectraGenerator, TextForMaskedLM):
    """Vocabulary scores for every place of a text: the generator."""


class ElectraForCausalLM(ElectraGenerator, TextForCausalLM, GenerationMixin):
    """A causal ELECTRA (config.is_decoder=True) with next-token logits."""


class DiscriminatorPredictions(nn.Module):
    """A score for each token: dense_prediction(act(dense(x)))."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = get_activation(config.hidden_act)
        self.dense_prediction = nn.Linear(config.hidden_size, 1)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T)."""
        return self.dense_prediction(self.activation(self.dense(x_BTC))).squeeze(-1)


@dataclass(repr=False)
class ElectraForPreTrainingOutput(ModelOutput):
    """logits (B, T): how likely each token was replaced, before the sigmoid."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class ElectraForPreTraining(ElectraWithHead):
    """Which tokens were replaced: the discriminator."""

    def build_head(self, config: ElectraConfig) -> None:
        self.discriminator_predictions = DiscriminatorPredictions(config)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> ElectraForPreTrainingOutput:
        """As `ElectraModel`, and: labels (B, T), 1 where a token was replaced, 0 where it is original.

        The loss is the mean over the tokens that attention_mask (B, T) does not hide.
        """
        outputs = self.electra(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits_BT = self.discriminator_predictions(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            seen = slice(None) if attention_mask is None else attention_mask == 1
            loss = F.binary_cross_entropy_with_logits(logits_BT[seen], labels[seen].to(logits_BT.dtype))
        return ElectraForPreTrainingOutput(
            loss=loss, logits=logits_BT, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class ClassificationHead(nn.Module):
    """out_proj(dropout(gelu(dense(dropout(state of the first token)))))."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(classifier_dropout(config))
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, N)."""
        return self.out_proj(self.dropout(F.gelu(self.dense(self.dropout(x_BTC[:, 0])))))


class ElectraForSequenceClassification(TextForSequenceClassification, ElectraWithHead):
    """Classifies a text by the state of its first token."""

    def build_head(self, config: ElectraConfig) -> None:
        self.classifier = ClassificationHead(config)

    def classify(self, outputs: Any) -> Tensor:
        return self.classifier(outputs.last_hidden_state)


class ElectraForMultipleChoice(TextForMultipleChoice, ElectraWithHead):
    """Scores each of several continuations."""

    def build_head(self, config: ElectraConfig) -> None:
        self.sequence_summary = SequenceSummary(config)
        self.classifier = nn.Linear(config.hidden_size, 1)

    def classify(self, outputs: Any) -> Tensor:
        return self.classifier(self.sequence_summary(outputs.last_hidden_state))


class ElectraForTokenClassification(TextForTokenClassification, ElectraWithHead):
    """Classifies each token."""


class ElectraForQuestionAnswering(TextForQuestionAnswering, ElectraWithHead):
    """Marks the span of an answer."""
