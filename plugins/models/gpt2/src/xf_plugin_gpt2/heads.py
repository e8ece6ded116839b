"""Heads of GPT-2: next token, next token with multiple choice, classes of sequences and tokens, answer spans.

Shapes: B batch, T tokens, M choices, C width, V vocabulary, N labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.model import model_forward
from xf.outputs import CausalLMOutputWithCrossAttentions, ModelOutput, TokenClassifierOutput
from xf_blocks.activations import get_activation
from xf_blocks.decoder_heads import (
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderWithHead,
    kept_positions,
)
from xf_blocks.losses import causal_lm_loss, cross_entropy, token_loss
from xf_generation.mixin import GenerationMixin

from .configuration import GPT2Config
from .modeling import GPT2Model, GPT2PreTrainedModel


class GPT2LMHeadModel(DecoderWithHead, GPT2PreTrainedModel, GenerationMixin):
    """GPT-2 with next-token logits."""

    body_class = GPT2Model
    tied_weights: ClassVar = {"lm_head.weight": "transformer.wte.weight"}

    def build_head(self, config: GPT2Config) -> None:
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        attention_mask: Any = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        logits_to_keep: int | Tensor = 0,
        num_items_in_batch: int | Tensor | None = None,
        shift_labels: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithCrossAttentions:
        """As GPT2Model, and: labels (B, T), -100 where there is no loss; position t predicts label t + 1.

        logits_to_keep: logits of the last so many positions only (0: of all), or of the positions in a 1D tensor.
        num_items_in_batch, shift_labels: see `xf_blocks.losses.causal_lm_loss`.
        """
        outputs = self.transformer(
            input_ids=input_ids,
            past_key_values=past_key_values,
            cache_position=cache_position,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **kwargs,
        )
        logits_BTV = self.lm_head(kept_positions(outputs.last_hidden_state, logits_to_keep))
        loss = None
        if labels is not None or shift_labels is not None:
            loss = causal_lm_loss(logits_BTV, labels, num_items_in_batch, shift_labels)
        return CausalLMOutputWithCrossAttentions(
            loss=loss,
            logits=logits_BTV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            cross_attentions=outputs.cross_attentions,
        )


class GPT2SequenceSummary(nn.Module):
    """One vector per sequence, and what summary_* of the config make of it."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.summary_type = config.summary_type
        if self.summary_type not in ("last", "first", "mean", "cls_index"):
            raise ValueError(f'summary_type must be "last", "first", "mean" or "cls_index", not {self.summary_type!r}.')
        self.summary: nn.Module = nn.Identity()
        if config.summary_use_proj:
            labels = config.summary_proj_to_labels and config.num_labels > 0
            self.summary = nn.Linear(config.n_embd, config.num_labels if labels else config.n_embd)
        name = config.summary_activation
        self.activation: Callable[[Tensor], Tensor] = nn.Identity() if name is None else get_activation(name)
        self.first_dropout = nn.Dropout(config.summary_first_dropout)
        self.last_dropout = nn.Dropout(getattr(config, "summary_last_dropout", 0.0) or 0.0)

    def forward(self, hidden: Tensor, cls_index: Tensor | None = None) -> Tensor:
        """hidden (..., T, C); cls_index (...): the position to read with "cls_index", the last if None."""
        if self.summary_type == "mean":
            picked = hidden.mean(dim=-2)
        elif self.summary_type == "first":
            picked = hidden[..., 0, :]
        elif self.summary_type == "last" or cls_index is None:
            picked = hidden[..., -1, :]
        else:
            index = cls_index[..., None, None].expand(*cls_index.shape, 1, hidden.shape[-1])
            picked = hidden.gather(-2, index).squeeze(-2)
        return self.last_dropout(self.activation(self.summary(self.first_dropout(picked))))


@dataclass(repr=False)
class GPT2DoubleHeadsModelOutput(ModelOutput):
    """logits (B, M, T, V) and loss of the language model, mc_logits (B, M) and mc_loss of the choice."""

    loss: Tensor | None = None
    mc_loss: Tensor | None = None
    logits: Tensor | None = None
    mc_logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class GPT2DoubleHeadsModel(GPT2PreTrainedModel, GenerationMixin):
    """GPT-2 with next-token logits and a score for each of several choices (Radford et al. 2018, section 3.3)."""

    tied_weights: ClassVar = {"lm_head.weight": "transformer.wte.weight"}

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        config.num_labels = 1
        self.transformer = GPT2Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.multiple_choice_head = GPT2SequenceSummary(config)
        self.post_init()

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        attention_mask: Any = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        mc_token_ids: Tensor | None = None,
        labels: Tensor | None = None,
        mc_labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> GPT2DoubleHeadsModelOutput:
        """input_ids (B, M, T); mc_token_ids (B, M): the token that stands for its choice, the last if None.

        labels (B, M, T), -100 where there is no loss, and mc_labels (B,).
        """
        outputs = self.transformer(
            input_ids=input_ids,
            past_key_values=past_key_values,
            cache_position=cache_position,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **kwargs,
        )
        logits = self.lm_head(outputs.last_hidden_state)
        mc_logits = self.multiple_choice_head(outputs.last_hidden_state, mc_token_ids).squeeze(-1)
        return GPT2DoubleHeadsModelOutput(
            loss=None if labels is None else causal_lm_loss(logits, labels),
            mc_loss=None if mc_labels is None else cross_entropy(mc_logits.flatten(0, -2), mc_labels.view(-1)),
            logits=logits,
            mc_logits=mc_logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class GPT2ForSequenceClassification(DecoderForSequenceClassification, GPT2PreTrainedModel):
    """GPT-2 that classifies a sequence by its last token."""

    body_class = GPT2Model


class GPT2ForTokenClassification(DecoderWithHead, GPT2PreTrainedModel):
    """GPT-2 that classifies each token."""

    body_class = GPT2Model

    def build_head(self, config: GPT2Config) -> None:
        rates = (getattr(config, name, None) for name in ("classifier_dropout", "hidden_dropout"))
        self.dropout = nn.Dropout(next((rate for rate in rates if rate is not None), 0.1))
        self.classifier = nn.Linear(config.n_embd, config.num_labels)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Any = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> TokenClassifierOutput:
        """As GPT2Model, and: labels (B, T), -100 where there is no loss."""
        outputs = self.transformer(
            input_ids=input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits_BTN = self.classifier(self.dropout(outputs.last_hidden_state))
        return TokenClassifierOutput(
            loss=None if labels is None else token_loss(logits_BTN, labels),
            logits=logits_BTN,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class GPT2ForQuestionAnswering(DecoderForQuestionAnswering, GPT2PreTrainedModel):
    """GPT-2 that marks the span of an answer."""

    body_class = GPT2Model
