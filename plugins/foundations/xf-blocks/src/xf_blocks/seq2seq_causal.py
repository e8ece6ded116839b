"""The decoder of an encoder-decoder in the layout of BART, alone, as a causal language model.

Shapes: B batch, T tokens.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from torch import Tensor, nn

from xf.checkpoint.rules import KeyRule
from xf.interfaces.cache import Cache
from xf.interfaces.model import model_forward
from xf.outputs import CausalLMOutputWithCrossAttentions

from .losses import token_loss
from .seq2seq_model import LEFTOVERS, Seq2SeqDecoder, Seq2SeqModel, Seq2SeqPreTrainedModel


class Seq2SeqDecoderWrapper(Seq2SeqPreTrainedModel):
    """Holds a decoder under the name that checkpoints of the whole model use."""

    decoder_class: ClassVar[type[Seq2SeqDecoder]] = Seq2SeqDecoder

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.decoder = self.decoder_class(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding; the decoder keeps the scale of its own."""
        self.decoder.embed_tokens = Seq2SeqModel._like(self.decoder.embed_tokens, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the decoder."""
        return self.decoder(*args, **kwargs)


class Seq2SeqForCausalLM(Seq2SeqPreTrainedModel):
    """The decoder alone, which reads an encoder's states only where it is given some."""

    wrapper_class: ClassVar[type[Seq2SeqDecoderWrapper]]
    tied_weights: ClassVar = {"lm_head.weight": "model.decoder.embed_tokens.weight"}
    key_rules: ClassVar = (KeyRule("model.shared.weight", "model.decoder.embed_tokens.weight", load_only=True),)
    ignore_unexpected: ClassVar = (*LEFTOVERS, "model.encoder.*", "encoder.*", "final_logits_bias")  # of whole models

    def __init__(self, config: Any) -> None:
        config = copy.deepcopy(config)
        config.is_decoder, config.is_encoder_decoder = True, False
        super().__init__(config)
        self.model = self.wrapper_class(config)
        self.lm_head = nn.Linear(config.d_model, self.model.decoder.embed_tokens.num_embeddings, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.model.set_input_embeddings(value)

    def get_decoder(self) -> nn.Module:
        """The decoder."""
        return self.model.decoder

    def set_decoder(self, decoder: Seq2SeqDecoder) -> None:
        """Replace the decoder."""
        self.model.decoder = decoder

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
        num_items_in_batch: int | Tensor | None = None,
    ) -> CausalLMOutputWithCrossAttentions:
        """As the decoder, and: labels (B, T), -100 where there is no loss; position t is scored against label t."""
        outputs = self.model.decoder(
            input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            head_mask=head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            cache_position=cache_position,
            return_dict=True,
        )
        logits_BTV = self.lm_head(outputs.last_hidden_state)
        return CausalLMOutputWithCrossAttentions(
            loss=None if labels is None else token_loss(logits_BTV, labels, num_items_in_batch),
            logits=logits_BTV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            cross_attentions=outputs.cross_attentions,
        )
