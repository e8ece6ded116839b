"""Language models on text encoders whose forward takes BERT's inputs: causal, and of masked tokens.

A family subclasses one together with its own PreTrainedModel (and GenerationMixin, where it is causal), and says how a
state becomes scores: `lm_logits`.

Shapes: B batch, T tokens, V vocabulary, C width.
"""

from __future__ import annotations

from torch import Tensor

from xf.interfaces.cache import Cache
from xf.interfaces.model import model_forward
from xf.outputs import CausalLMOutputWithCrossAttentions, MaskedLMOutput

from .losses import causal_lm_loss, token_loss
from .text_heads import TextModelWithHead


class TextWithLMHead(TextModelWithHead):
    """Scores the vocabulary."""

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        raise NotImplementedError(f"{type(self).__name__} has to say how it scores the vocabulary")


class TextForCausalLM(TextWithLMHead):
    """Next-token scores of a body with config.is_decoder=True."""

    def wants_cache(self, use_cache: bool | None, labels: Tensor | None) -> bool | None:
        """What the body is told: with labels there is nothing to continue."""
        return use_cache if labels is None else False

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
        num_items_in_batch: int | Tensor | None = None,
    ) -> CausalLMOutputWithCrossAttentions:
        """As the body, and: labels (B, T), -100 where there is no loss; position t predicts label t + 1."""
        outputs = self.base_model(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            use_cache=self.wants_cache(use_cache, labels),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            cache_position=cache_position,
            return_dict=True,
        )
        logits_BTV = self.lm_logits(outputs.last_hidden_state)
        return CausalLMOutputWithCrossAttentions(
            loss=None if labels is None else causal_lm_loss(logits_BTV, labels, num_items_in_batch),
            logits=logits_BTV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            cross_attentions=outputs.cross_attentions,
        )


class TextForMaskedLM(TextWithLMHead):
    """Vocabulary scores for every place of a text."""

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> MaskedLMOutput:
        """As the body, and: labels (B, T), -100 where there is no loss."""
        outputs = self.base_model(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits_BTV = self.lm_logits(outputs.last_hidden_state)
        return MaskedLMOutput(
            loss=None if labels is None else token_loss(logits_BTV, labels),
            logits=logits_BTV,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
