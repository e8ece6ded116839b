"""What the families in the layout of RoBERTa (arXiv:1907.11692) share: positions that pass over padding, and heads.

A family subclasses each head together with its own PreTrainedModel, whose base_model_prefix is "roberta".

Shapes: B batch, T tokens, V vocabulary, N labels, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .text_encoder import TextEmbeddings
from .text_heads import TextForSequenceClassification, classifier_dropout
from .text_lm import TextForCausalLM, TextForMaskedLM, TextWithLMHead
from .text_model import TextModel


class OffsetPositions(nn.Module):
    """Positions of `position_embeddings` begin at padding_idx + 1; padding has the position padding_idx."""

    padding_idx: int
    position_embeddings: nn.Embedding

    def position_ids(self, input_ids: Tensor | None, inputs_embeds: Tensor | None, start: int) -> Tensor:
        """(B, T), or (1, T) for inputs_embeds, in which padding cannot be told apart.

        Raises: ValueError for more positions than the model has.
        """
        if input_ids is None:
            assert inputs_embeds is not None, "one of the two is given"
            end = start + inputs_embeds.shape[1]
            position_ids = torch.arange(start + 1, end + 1, device=inputs_embeds.device)[None] + self.padding_idx
        else:
            end = start + input_ids.shape[1]
            is_token_BT = input_ids != self.padding_idx
            position_ids = (is_token_BT.cumsum(1) + start) * is_token_BT + self.padding_idx
        limit = self.position_embeddings.num_embeddings
        if end + self.padding_idx >= limit and int(position_ids.max()) >= limit:  # only then a look at the values
            room = limit - self.padding_idx - 1
            raise ValueError(f"The text is {end} tokens long, but the model has {room} positions: truncate it.")
        return position_ids


class OffsetTextEmbeddings(OffsetPositions, TextEmbeddings):
    """Positions begin at pad_token_id + 1; padding has the position pad_token_id, which is not trained."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.padding_idx = config.pad_token_id
        self.position_embeddings = nn.Embedding(
            config.max_position_embeddings, config.hidden_size, padding_idx=self.padding_idx
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values_length: int = 0,
    ) -> Tensor:
        """As `TextEmbeddings`; position_ids default to those of input_ids, or to T positions for inputs_embeds."""
        if position_ids is None and self.has_positions:
            position_ids = self.position_ids(input_ids, inputs_embeds, past_key_values_length)
        return super().forward(input_ids, token_type_ids, position_ids, inputs_embeds, past_key_values_length)


class OffsetTextModel(TextModel):
    """The body, as decoder or encoder, with a pooler unless add_pooling_layer=False."""

    embeddings_class = OffsetTextEmbeddings
    allow_missing: ClassVar = ("pooler.*",)  # models trained on masked tokens alone have none


class LMHead(nn.Module):
    """Vocabulary scores: decoder(layer_norm(gelu(dense(x)))); the decoder's bias is also called `bias`."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = self.decoder.bias

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        return self.decoder(self.layer_norm(F.gelu(self.dense(x_BTC))))


class WithLMHead(TextWithLMHead):
    """Holds an `LMHead` as `lm_head`, tied to the embeddings."""

    tied_weights: ClassVar = {"lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight"}
    always_tied_weights: ClassVar = {"lm_head.decoder.bias": "lm_head.bias"}

    def build_head(self, config: Any) -> None:
        self.lm_head = LMHead(config)

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        return self.lm_head(x_BTC)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.lm_head.decoder = new_embeddings
        self.lm_head.bias = new_embeddings.bias

    def _resize_extra(self, size: int, mean_resizing: bool) -> None:
        self.lm_head.bias = self.lm_head.decoder.bias


class OffsetTextForCausalLM(WithLMHead, TextForCausalLM):
    """Next-token scores; the family adds GenerationMixin.

    generate counts positions from 0 where forward, left to itself, counts from pad_token_id + 1. The published
    implementation (4.x and 5.x) does so, and its texts are reproduced; position_ids say otherwise.
    """

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache_position: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As in GenerationMixin; no mask is a mask of ones, from which the positions follow."""
        if attention_mask is None:
            embedded = inputs_embeds is not None and input_ids.shape[1] == 0
            length = inputs_embeds.shape[1] if embedded else input_ids.shape[1]  # type: ignore[union-attr]
            if cache_position is not None and len(cache_position):
                length = int(cache_position[-1]) + 1
            attention_mask = torch.ones(input_ids.shape[0], length, dtype=torch.long, device=input_ids.device)
        given: dict[str, Any] = super().prepare_inputs_for_generation(  # type: ignore[misc]
            input_ids, past_key_values, attention_mask, inputs_embeds, cache_position, **kwargs
        )
        return given


class OffsetTextForMaskedLM(WithLMHead, TextForMaskedLM):
    """Vocabulary scores for every place of a text."""


class ClassificationHead(nn.Module):
    """out_proj(dropout(tanh(dense(dropout(state of the first token)))))."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(classifier_dropout(config))
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, N)."""
        return self.out_proj(self.dropout(torch.tanh(self.dense(self.dropout(x_BTC[:, 0])))))


class OffsetTextForSequenceClassification(TextForSequenceClassification):
    """Scores (B, N) from the state of the first token."""

    needs_pooler = False

    def build_head(self, config: Any) -> None:
        self.classifier = ClassificationHead(config)

    def classify(self, outputs: Any) -> Tensor:
        return self.classifier(outputs.last_hidden_state)
