"""The body of text encoders in the layout of BERT: embeddings, encoder, pooler.

Shapes: B batch, T tokens, K tokens so far, S an encoder's tokens, H heads, L layers, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf import logging
from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.cache import Cache, DynamicCache, EncoderDecoderCache
from xf.interfaces.mask import create_bidirectional_mask, create_causal_mask, to_additive
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import BaseModelOutputWithPoolingAndCrossAttentions

from .text_attention import TextSelfAttention, self_attention_class
from .text_encoder import TextEmbeddings, TextEncoder, TextPooler

logger = logging.get_logger(__name__)


def text_attention_needs(config: Any) -> AttentionNeeds:
    """Relative positions are a bias on the scores."""
    return AttentionNeeds(additive_bias=self_attention_class(config) is not TextSelfAttention)


class TextModel(PreTrainedModel):
    """Embeddings, encoder, and with add_pooling_layer a pooler."""

    embeddings_class: ClassVar[type[TextEmbeddings]] = TextEmbeddings
    encoder_class: ClassVar[type[TextEncoder]] = TextEncoder

    def __init__(self, config: Any, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = self.embeddings_class(config)
        self.encoder = self.encoder_class(config)
        self.pooler = TextPooler(config) if add_pooling_layer else None
        self._prune_heads(config.pruned_heads)
        self.post_init()

    @classmethod
    def needs_of(cls, config: Any) -> AttentionNeeds:
        return text_attention_needs(config)

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    def _prune_heads(self, heads_to_prune: dict[int, list[int]]) -> None:
        for layer, heads in heads_to_prune.items():
            self.encoder.layer[layer].attention.prune_heads(heads)

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
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """input_ids (B, T) or inputs_embeds (B, T, C); attention_mask (B, K) with 0 at padding, or (B, T, K), or 4D.

        token_type_ids (B, T): the segment of each token. head_mask (H,) or (L, H): 1 to keep a head. As a decoder
        (config.is_decoder): past_key_values, and with config.add_cross_attention encoder_hidden_states (B, S, C) with
        encoder_attention_mask (B, S).
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, and for a text that is too long.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError(f"{type(self).__name__} needs exactly one of input_ids and inputs_embeds.")
        if inputs_embeds is None:
            self.warn_if_padding_and_no_attention_mask(input_ids, attention_mask)
        encoder_hidden_states = self._readable(encoder_hidden_states)
        cache, use_cache = self._start_cache(past_key_values, use_cache)
        start = 0 if cache is None else cache.get_seq_length()
        x_BTC = self.embed(input_ids, token_type_ids, position_ids, inputs_embeds, start)
        if cache_position is None and self.config.is_decoder:
            cache_position = torch.arange(start, start + x_BTC.shape[1], device=x_BTC.device)
        encoded = self.encoder(
            x_BTC,
            self._mask(x_BTC, attention_mask, cache_position, cache),
            None if head_mask is None else self.get_head_mask(head_mask, self.config.num_hidden_layers),
            encoder_hidden_states,
            None
            if encoder_hidden_states is None
            else create_bidirectional_mask(self.config, x_BTC, encoder_attention_mask, encoder_hidden_states),
            past_key_values=cache,
            cache_position=cache_position,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=encoded.last_hidden_state,
            pooler_output=None if self.pooler is None else self.pooler(encoded.last_hidden_state),
            past_key_values=cache if use_cache else None,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
            cross_attentions=encoded.cross_attentions,
        )

    def embed(self, *inputs: Any) -> Tensor:
        """What the encoder starts from, (B, T, C); inputs: those of the embeddings' forward."""
        return self.embeddings(*inputs)

    def _readable(self, encoder_hidden_states: Tensor | None) -> Tensor | None:
        """An encoder's states, where the model has cross-attention to read them with.

        Raises: ValueError for a decoder without it. An encoder has no use for them and says so.
        """
        if encoder_hidden_states is None or self.config.add_cross_attention:
            return encoder_hidden_states
        if self.config.is_decoder:
            raise ValueError(
                "encoder_hidden_states need a model with cross-attention: config.add_cross_attention=True."
            )
        logger.warning_once(f"{type(self).__name__} is an encoder: encoder_hidden_states are ignored.")
        return None

    def _start_cache(self, given: Any, use_cache: bool | None) -> tuple[Cache | None, bool]:
        config = self.config
        if not config.is_decoder:
            return None, False
        use_cache = bool(config.use_cache) if use_cache is None else use_cache
        if use_cache and self.training and self.is_gradient_checkpointing:
            logger.warning_once("use_cache is not used: gradient checkpointing computes layers twice.")
            use_cache = False
        if isinstance(given, (tuple, list)):
            kind: Any = EncoderDecoderCache if config.add_cross_attention else DynamicCache
            given = kind.from_legacy_cache(given)
        if given is None and use_cache:
            given = DynamicCache()
        if given is not None and config.add_cross_attention and not isinstance(given, EncoderDecoderCache):
            given = EncoderDecoderCache(given, DynamicCache())
        return given, use_cache

    def _mask(self, x_BTC: Tensor, attention_mask: Any, cache_position: Tensor | None, cache: Cache | None) -> Any:
        if not self.config.is_decoder:
            return create_bidirectional_mask(self.config, x_BTC, attention_mask)
        if isinstance(attention_mask, Tensor) and attention_mask.ndim == 3:
            attention_mask = attention_mask[:, None]
        mask = create_causal_mask(self.config, x_BTC, attention_mask, cache_position, cache)
        if isinstance(mask, Tensor) and mask.dtype == torch.bool:
            return to_additive(mask, x_BTC.dtype)  # rows of left padding, which see nothing, then agree in all backends
        return mask
