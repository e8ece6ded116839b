"""XLM-RoBERTa-XL (arXiv:2105.00572) and its heads: RoBERTa with the norms before, see `xf_blocks.text_prenorm`."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from xf.interfaces.model import PreTrainedModel
from xf_blocks.encoder_heads import EncoderForTokenClassification
from xf_blocks.losses import IGNORED
from xf_blocks.text_heads import TextForMultipleChoice, TextForQuestionAnswering
from xf_blocks.text_prenorm import PreNormAttentionBlock, PreNormEncoder, PreNormLayer
from xf_blocks.text_roberta import (
    OffsetTextEmbeddings,
    OffsetTextForCausalLM,
    OffsetTextForMaskedLM,
    OffsetTextForSequenceClassification,
    OffsetTextModel,
)
from xf_generation.mixin import GenerationMixin

from .configuration import XLMRobertaXLConfig


class XLMRobertaXLPreTrainedModel(PreTrainedModel):
    """What all XLM-RoBERTa-XL models declare."""

    config_class = XLMRobertaXLConfig
    base_model_prefix = "roberta"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold


class Embeddings(OffsetTextEmbeddings):
    """RoBERTa's embeddings without a norm: the first layer has one."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.LayerNorm = nn.Identity()


class AttentionBlock(PreNormAttentionBlock):
    """The checkpoint's name of the norm."""

    norm_name = "self_attn_layer_norm"


class Layer(PreNormLayer):
    """A layer of such blocks."""

    block_class = AttentionBlock


class Encoder(PreNormEncoder):
    """An encoder of such layers."""

    layer_class = Layer


class XLMRobertaXLModel(OffsetTextModel, XLMRobertaXLPreTrainedModel):
    """The encoder (or decoder, see `xf_blocks.text_model`), with a pooler unless add_pooling_layer=False."""

    embeddings_class = Embeddings
    encoder_class = Encoder


class XLMRobertaXLForCausalLM(OffsetTextForCausalLM, XLMRobertaXLPreTrainedModel, GenerationMixin):
    """A causal XLM-RoBERTa-XL (config.is_decoder=True) with next-token logits.

    Other than in its siblings generate counts positions as forward does.
    """

    body_class = XLMRobertaXLModel

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As in GenerationMixin, with position_ids only if they were given."""
        given = super().prepare_inputs_for_generation(*args, **kwargs)
        if kwargs.get("position_ids") is None:
            given.pop("position_ids", None)
        return given


class XLMRobertaXLForMaskedLM(OffsetTextForMaskedLM, XLMRobertaXLPreTrainedModel):
    """Vocabulary scores for every place of a text."""

    body_class = XLMRobertaXLModel


class XLMRobertaXLForSequenceClassification(OffsetTextForSequenceClassification, XLMRobertaXLPreTrainedModel):
    """Classifies a text by the state of its first token."""

    body_class = XLMRobertaXLModel


class XLMRobertaXLForMultipleChoice(TextForMultipleChoice, XLMRobertaXLPreTrainedModel):
    """Scores each of several continuations."""

    body_class = XLMRobertaXLModel


class XLMRobertaXLForTokenClassification(EncoderForTokenClassification, XLMRobertaXLPreTrainedModel):
    """Classifies each token; labels of padding count as -100."""

    body_class = XLMRobertaXLModel

    def finish(self, given: dict[str, Any], own: dict[str, Any]) -> Any:
        mask, labels = given.get("attention_mask"), own["labels"]
        if mask is not None and labels is not None:
            own["labels"] = labels.masked_fill(mask != 1, IGNORED)
        return super().finish(given, own)


class XLMRobertaXLForQuestionAnswering(TextForQuestionAnswering, XLMRobertaXLPreTrainedModel):
    """Marks the span of an answer."""

    body_class = XLMRobertaXLModel
