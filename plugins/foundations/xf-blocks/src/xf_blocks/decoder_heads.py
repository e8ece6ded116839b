"""Heads of causal decoders: next token, class of a sequence, class of each token, answer span.

A family subclasses one together with its own PreTrainedModel, and names its body:

    class LlamaForCausalLM(CausalLM, LlamaPreTrainedModel):
        body_class = LlamaModel

The body hangs under `base_model_prefix`. Shapes: B batch, T tokens, K tokens so far, C width, V vocabulary, N labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from xf import logging
from xf.interfaces.cache import Cache
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import (
    CausalLMOutputWithPast,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutputWithPast,
    TokenClassifierOutput,
)

from .decoder_inputs import kept_positions
from .decoder_model import DecoderModel
from .decoder_step import direct_step
from .direct import direct
from .fusing import fuse
from .losses import causal_lm_loss, classification_loss, question_answering_loss, token_loss

logger = logging.get_logger(__name__)
Self = TypeVar("Self", bound="DecoderWithHead")


class DecoderWithHead(PreTrainedModel):
    """A body of `body_class` under `base_model_prefix`, and what `build_head` adds."""

    body_class: ClassVar[type[PreTrainedModel]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        setattr(self, self.base_model_prefix, self.body_class(config))
        self.build_head(config)
        self.post_init()

    def optimize(self: Self) -> Self:
        """Make decoding faster: projections that read the same input are multiplied in one product. In place.

        Names, state_dict, saved files and training stay as they are (see `xf_blocks.fusing`); results are the same but
        for the order in which products are added up. Quantized layers keep a second copy of what is fused.
        `model.to(...)` takes it back: call it once the model is where it belongs.
        """
        if not fuse(self):
            logger.info(f"{type(self).__name__} has no projections that could be fused: optimize() changes nothing.")
        return self

    def build_head(self, config: Any) -> None:
        """Create the head's modules."""
        raise NotImplementedError(f"{type(self).__name__} must define build_head(config).")


class CausalLM(DecoderWithHead):
    """Next-token logits (B, T, V)."""

    tied_weights: ClassVar = {"lm_head.weight": "model.embed_tokens.weight"}

    def build_head(self, config: Any) -> None:
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        return self.lm_head(hidden_BTC)

    def direct_logits(self) -> Callable[[Tensor], Tensor]:
        """The direct form of `logits`."""
        return direct(self.lm_head) if type(self).logits is CausalLM.logits else self.logits

    def direct_forward(self) -> Callable[..., CausalLMOutputWithPast] | None:
        """A function that does what calling the model with a cache does, with less work in Python around it.

        For loops over many tokens: make one per loop, since it does not see later changes of the model's modules. None
        where the model has hooks, trains, or has a forward of its own.
        """
        body = self.base_model
        own = type(self).forward is CausalLM.forward and type(body).forward is DecoderModel.forward
        return direct_step(self, body) if own else None

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        num_items_in_batch: int | Tensor | None = None,
        shift_labels: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """As the body, and: labels (B, T), -100 where there is no loss; position t predicts label t + 1.

        logits_to_keep: logits of the last so many positions only (0: of all), or of the positions in a 1D tensor.
        num_items_in_batch, shift_labels: see `xf_blocks.losses.causal_lm_loss`.
        """
        outputs = self.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            cache_position=cache_position,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **kwargs,
        )
        logits_BTV = self.logits(kept_positions(outputs.last_hidden_state, logits_to_keep))
        loss = None
        if labels is not None or shift_labels is not None:
            loss = causal_lm_loss(logits_BTV, labels, num_items_in_batch, shift_labels)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits_BTV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class DecoderForSequenceClassification(DecoderWithHead):
    """Scores (B, N) read at the last token that is not padding."""

    def build_head(self, config: Any) -> None:
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        num_items_in_batch: int | Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutputWithPast:
        """As the body, and: labels (B,) classes or values, (B, N) for several; see `losses.classification_loss`.

        Raises: ValueError for more than one row without config.pad_token_id, which tells where a row ends.
        """
        outputs = self.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **kwargs,
        )
        hidden_BTC = outputs.last_hidden_state
        last_B = last_token_positions(self.config, input_ids, hidden_BTC)
        rows_B = torch.arange(hidden_BTC.shape[0], device=hidden_BTC.device)
        logits_BN = self.score(hidden_BTC[rows_B, last_B])
        loss = None
        if labels is not None:
            loss = classification_loss(logits_BN, labels, self.config, num_items_in_batch)
        return SequenceClassifierOutputWithPast(
            loss=loss,
            logits=logits_BN,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def last_token_positions(config: Any, input_ids: Tensor | None, hidden_BTC: Tensor) -> Tensor | int:
    """Position (B,) of the last token of each row that is not config.pad_token_id, whichever side padding is on."""
    pad = config.get_text_config().pad_token_id
    if pad is None:
        if hidden_BTC.shape[0] > 1:
            raise ValueError(
                f"A batch of {hidden_BTC.shape[0]} needs config.pad_token_id, to find where each row ends: "
                "set it to the tokenizer's pad_token_id, or give one row at a time."
            )
        return -1
    if input_ids is None:
        logger.warning_once("inputs_embeds do not show padding: the last position of each row is classified.")
        return -1
    positions_T = torch.arange(input_ids.shape[1], device=hidden_BTC.device)
    return (positions_T * (input_ids != pad).to(hidden_BTC.device)).argmax(-1)


class DecoderForTokenClassification(DecoderWithHead):
    """Scores (B, T, N) for every token. head_name: what a family's checkpoints call the linear layer."""

    head_name: ClassVar[str] = "score"

    def build_head(self, config: Any) -> None:
        rates = (getattr(config, name, None) for name in ("classifier_dropout", "hidden_dropout"))
        self.dropout = nn.Dropout(next((rate for rate in rates if rate is not None), 0.1))
        setattr(self, self.head_name, nn.Linear(config.hidden_size, config.num_labels))

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        num_items_in_batch: int | Tensor | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        """As the body, and: labels (B, T), -100 where there is no loss."""
        outputs = self.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **kwargs,
        )
        logits_BTN = getattr(self, self.head_name)(self.dropout(outputs.last_hidden_state))
        return TokenClassifierOutput(
            loss=None if labels is None else token_loss(logits_BTN, labels, num_items_in_batch),
            logits=logits_BTN,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class DecoderForQuestionAnswering(DecoderWithHead):
    """Scores of each token as start and end of the answer, (B, T) each."""

    def build_head(self, config: Any) -> None:
        self.qa_outputs = nn.Linear(config.hidden_size, 2)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> QuestionAnsweringModelOutput:
        """As the body, and: start_positions, end_positions (B,); positions outside of the text give no loss."""
        outputs = self.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **kwargs,
        )
        start_BT, end_BT = self.qa_outputs(outputs.last_hidden_state).unbind(-1)
        start_BT, end_BT = start_BT.contiguous(), end_BT.contiguous()
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = question_answering_loss(start_BT, end_BT, start_positions, end_positions)
        return QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=start_BT,
            end_logits=end_BT,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
