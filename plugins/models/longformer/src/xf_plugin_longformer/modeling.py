"""Longformer (arXiv:2004.05150) and its heads: RoBERTa's layout with attention to windows and global tokens.

Shapes: B batch, T tokens, V vocabulary, N labels, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf import logging
from xf.interfaces.model import GradientCheckpointingLayer, model_forward
from xf_blocks.encoder_attention import OwnAttention
from xf_blocks.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
    EncoderWithHead,
)
from xf_blocks.encoder_inputs import check_text
from xf_blocks.pytorch_utils import apply_chunking_to_forward
from xf_blocks.recorder import Recorder
from xf_blocks.text_encoder import ResidualOutput, TextIntermediate, TextPooler
from xf_blocks.text_roberta import ClassificationHead, OffsetTextEmbeddings, WithLMHead

from .attention import LongformerAttention, Places
from .configuration import LongformerConfig
from .outputs import (
    LongformerBaseModelOutputWithPooling,
    LongformerMaskedLMOutput,
    LongformerMultipleChoiceModelOutput,
    LongformerQuestionAnsweringModelOutput,
    LongformerSequenceClassifierOutput,
    LongformerTokenClassifierOutput,
)

logger = logging.get_logger(__name__)


class LongformerPreTrainedModel(OwnAttention):
    """What all Longformer models declare."""

    config_class = LongformerConfig
    base_model_prefix = "longformer"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold


class LongformerLayer(GradientCheckpointingLayer):
    """Self-attention and feed-forward in chunks; each LayerNorm(x + f(x))."""

    def __init__(self, config: LongformerConfig, layer_id: int) -> None:
        super().__init__()
        self.chunk_size = config.chunk_size_feed_forward
        self.attention = LongformerAttention(config, layer_id)
        self.intermediate = TextIntermediate(config)
        self.output = ResidualOutput(config, config.intermediate_size)

    def feed_forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.output(self.intermediate(x_BTC), x_BTC)

    def forward(self, x_BTC: Tensor, *args: Any) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """States (B, T, C), and where asked the weights of all tokens and of global ones."""
        x_BTC, weights, global_weights = self.attention(x_BTC, *args)
        return apply_chunking_to_forward(self.feed_forward, self.chunk_size, 1, x_BTC), weights, global_weights


class LongformerEncoder(nn.Module):
    """The layers, under the name `layer`."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([LongformerLayer(config, i) for i in range(config.num_hidden_layers)])

    def forward(self, x_BTC: Tensor, places: Places, head_mask: Any, seen: Recorder, output_attentions: bool) -> Tensor:
        """(B, T, C) -> (B, T, C); `seen` collects states and weights."""
        for index, layer in enumerate(self.layer):
            seen.state(x_BTC)
            heads = None if head_mask is None else head_mask[index]
            x_BTC, weights, global_weights = layer(x_BTC, places, heads, output_attentions)
            seen.weights(weights, global_weights)
        seen.state(x_BTC)
        return x_BTC


class LongformerModel(LongformerPreTrainedModel):
    """The encoder, with a pooler unless add_pooling_layer=False."""

    allow_missing: ClassVar = ("pooler.*",)  # models trained on masked tokens alone have none

    def __init__(self, config: LongformerConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = OffsetTextEmbeddings(config)
        self.encoder = LongformerEncoder(config)
        self.pooler = TextPooler(config) if add_pooling_layer else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> LongformerBaseModelOutputWithPooling:
        """input_ids (B, T) or inputs_embeds (B, T, C); attention_mask (B, T): 0 padding, 1 local, 2 global attention.

        global_attention_mask (B, T): 1 where a token sees all others and is seen by all; global tokens are few.
        head_mask (H,) or (L, H): 1 to keep a head.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, and for a text that is too long.
        """
        check_text(self, input_ids, inputs_embeds, attention_mask)
        x_BTC = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        places = self.places(x_BTC, attention_mask, global_attention_mask)
        heads = None if head_mask is None else self.get_head_mask(head_mask, self.config.num_hidden_layers)
        has_global = output_attentions and places.index_BX.shape[1] > 0
        seen = Recorder(output_hidden_states, output_attentions, has_global)
        x_BTC = self.encoder(x_BTC, places, heads, seen, output_attentions)
        return LongformerBaseModelOutputWithPooling(
            last_hidden_state=x_BTC,
            pooler_output=None if self.pooler is None else self.pooler(x_BTC),
            hidden_states=seen.hidden_states,
            attentions=seen.attentions,
            global_attentions=seen.cross_attentions,
        )

    def places(self, x_BTC: Tensor, attention_mask: Tensor | None, global_attention_mask: Tensor | None) -> Places:
        """What the two masks say.

        Raises: ValueError for a mask of another shape.
        """
        for name, mask in {"attention_mask": attention_mask, "global_attention_mask": global_attention_mask}.items():
            if mask is not None and mask.shape != x_BTC.shape[:2]:
                shape = tuple(x_BTC.shape[:2])
                raise ValueError(f"{name} has shape {tuple(mask.shape)}; Longformer needs (batch, tokens), {shape}.")
        is_token_BT = torch.ones(x_BTC.shape[:2], dtype=torch.bool, device=x_BTC.device)
        is_global_BT = ~is_token_BT
        if attention_mask is not None:
            is_token_BT, is_global_BT = attention_mask > 0, attention_mask > 1
        if global_attention_mask is not None:
            is_global_BT = is_global_BT | (global_attention_mask > 0)
        return Places.of(is_token_BT, is_global_BT, max(self.config.windows()))


class WithGlobalWeights(EncoderWithHead, LongformerPreTrainedModel):
    """A head whose output has global_attentions too."""

    output_class: ClassVar[type[Any]]

    def answer(self, outputs: Any, *args: Any, **kwargs: Any) -> Any:
        found = super().answer(outputs, *args, **kwargs)
        return self.output_class(**found, global_attentions=outputs.global_attentions)


class LongformerForMaskedLM(WithGlobalWeights, WithLMHead, EncoderForMaskedLM):
    """Vocabulary scores for every place of a text."""

    body_class = LongformerModel
    output_class = LongformerMaskedLMOutput
    tied_weights: ClassVar = {"lm_head.decoder.weight": "longformer.embeddings.word_embeddings.weight"}


class LongformerForSequenceClassification(WithGlobalWeights, EncoderForSequenceClassification):
    """Classifies a text by its first token, which sees all others unless global_attention_mask is given."""

    body_class = LongformerModel
    output_class = LongformerSequenceClassifierOutput
    needs_pooler = False

    def build_head(self, config: LongformerConfig) -> None:
        self.classifier = ClassificationHead(config)

    def run_body(self, given: dict[str, Any]) -> Any:
        if given.get("global_attention_mask") is None:
            text = given.get("input_ids") if given.get("input_ids") is not None else given.get("inputs_embeds")
            if text is not None:
                mask_BT = torch.zeros(text.shape[:2], dtype=torch.long, device=text.device)
                mask_BT[:, 0] = 1
                given["global_attention_mask"] = mask_BT
        return super().run_body(given)

    def classify(self, outputs: Any) -> Tensor:
        return self.classifier(outputs.last_hidden_state)


class WithQuestion(WithGlobalWeights):
    """A head whose texts are question </s></s> text </s>; unless a mask is given, one of the two is global."""

    question_is_global: ClassVar[bool]

    def run_body(self, given: dict[str, Any]) -> Any:
        if given.get("global_attention_mask") is None:
            if given.get("input_ids") is None:
                logger.warning_once(
                    f"{type(self).__name__} cannot find the question in inputs_embeds: no token is global, unless "
                    "global_attention_mask says which."
                )
            else:
                given["global_attention_mask"] = self.global_mask(given["input_ids"])
        return super().run_body(given)

    def global_mask(self, ids_BT: Tensor) -> Tensor:
        """(B, T): 1 before the first separator, or after the second.

        Raises: ValueError unless each text has three separators.
        """
        separators_BT = ids_BT == self.config.sep_token_id
        if not bool((separators_BT.sum(1) == 3).all()):
            raise ValueError(
                f"{type(self).__name__} needs texts with exactly three separators (token {self.config.sep_token_id}): "
                "question </s></s> text </s>. Others need a global_attention_mask."
            )
        end_B1 = separators_BT.int().argmax(1, keepdim=True)
        place_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        return (place_T < end_B1 if self.question_is_global else place_T > end_B1 + 1).long()


class LongformerForQuestionAnswering(WithQuestion, EncoderForQuestionAnswering):
    """Marks the span of an answer."""

    body_class = LongformerModel
    output_class = LongformerQuestionAnsweringModelOutput
    question_is_global = True


class LongformerForMultipleChoice(WithQuestion, EncoderForMultipleChoice):
    """Scores each of several continuations."""

    body_class = LongformerModel
    output_class = LongformerMultipleChoiceModelOutput
    question_is_global = False


class LongformerForTokenClassification(WithGlobalWeights, EncoderForTokenClassification):
    """Classifies each token."""

    body_class = LongformerModel
    output_class = LongformerTokenClassifierOutput
