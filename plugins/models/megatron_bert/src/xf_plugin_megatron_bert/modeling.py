"""Megatron-BERT (arXiv:1909.08053) and its heads: BERT with the norms before, see `xf_blocks.text_prenorm`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from xf.interfaces.model import PreTrainedModel
from xf.outputs import ModelOutput
from xf_blocks.text_cls import EncoderForNextSentencePrediction, EncoderForPreTraining, WithClsPredictions
from xf_blocks.text_heads import (
    TextForMultipleChoice,
    TextForQuestionAnswering,
    TextForSequenceClassification,
    TextForTokenClassification,
)
from xf_blocks.text_lm import TextForCausalLM, TextForMaskedLM
from xf_blocks.text_model import TextModel
from xf_blocks.text_prenorm import PreNormAttentionBlock, PreNormEncoder, PreNormLayer, UnnormedEmbeddings
from xf_generation.mixin import GenerationMixin

from .configuration import MegatronBertConfig

_TIED = {"cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"}


class MegatronBertPreTrainedModel(PreTrainedModel):
    """What all Megatron-BERT models declare."""

    config_class = MegatronBertConfig
    base_model_prefix = "bert"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold


class AttentionBlock(PreNormAttentionBlock):
    """The checkpoint's name of the norm."""

    norm_name = "ln"


class Layer(PreNormLayer):
    """A layer of such blocks."""

    block_class = AttentionBlock
    norm_name = "ln"


class Encoder(PreNormEncoder):
    """An encoder of such layers."""

    layer_class = Layer
    norm_name = "ln"


class MegatronBertModel(TextModel, MegatronBertPreTrainedModel):
    """The encoder (or decoder, see `xf_blocks.text_model`), with a pooler unless add_pooling_layer=False."""

    embeddings_class = UnnormedEmbeddings
    encoder_class = Encoder
    allow_missing: ClassVar = ("pooler.*",)  # models trained on masked tokens alone have none


@dataclass(repr=False)
class MegatronBertForPreTrainingOutput(ModelOutput):
    """prediction_logits (B, T, V) and seq_relationship_logits (B, 2): (B follows A, B is random)."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    seq_relationship_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class MegatronBertForPreTraining(EncoderForPreTraining, MegatronBertPreTrainedModel):
    """Both pretraining tasks: masked tokens and next sentence."""

    body_class = MegatronBertModel
    output_class = MegatronBertForPreTrainingOutput
    tied_weights: ClassVar = _TIED


class MegatronBertForCausalLM(WithClsPredictions, TextForCausalLM, MegatronBertPreTrainedModel, GenerationMixin):
    """A causal Megatron-BERT (config.is_decoder=True) with next-token logits."""

    body_class = MegatronBertModel
    tied_weights: ClassVar = _TIED


class MegatronBertForMaskedLM(WithClsPredictions, TextForMaskedLM, MegatronBertPreTrainedModel):
    """Vocabulary scores for every place of a text."""

    body_class = MegatronBertModel
    tied_weights: ClassVar = _TIED


class MegatronBertForNextSentencePrediction(EncoderForNextSentencePrediction, MegatronBertPreTrainedModel):
    """Whether the second segment follows the first."""

    body_class = MegatronBertModel


class MegatronBertForSequenceClassification(TextForSequenceClassification, MegatronBertPreTrainedModel):
    """Classifies a text by its pooled first token."""

    body_class = MegatronBertModel


class MegatronBertForMultipleChoice(TextForMultipleChoice, MegatronBertPreTrainedModel):
    """Scores each of several continuations."""

    body_class = MegatronBertModel


class MegatronBertForTokenClassification(TextForTokenClassification, MegatronBertPreTrainedModel):
    """Classifies each token."""

    body_class = MegatronBertModel


class MegatronBertForQuestionAnswering(TextForQuestionAnswering, MegatronBertPreTrainedModel):
    """Marks the span of an answer."""

    body_class = MegatronBertModel
