"""The text decoder of Whisper and the two-tower base model. Shapes: see `modeling`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.cache import Cache, DynamicCache, EncoderDecoderCache
from xf.interfaces.mask import create_causal_mask
from xf.interfaces.model import model_forward
from xf.outputs import BaseModelOutput, BaseModelOutputWithPastAndCrossAttentions, Seq2SeqModelOutput
from xf_plugin_whisper.configuration import WhisperConfig
from xf_plugin_whisper.modeling import (
    WhisperDecoderLayer,
    WhisperEncoder,
    WhisperPreTrainedModel,
    check_head_mask,
)
from xf_plugin_whisper.spec_augment import spec_augment


class WhisperDecoder(WhisperPreTrainedModel):
    """Token and learned position embeddings, then causal layers that attend to the encoder."""

    main_input_name = "input_ids"

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.dropout = config.dropout
        self.layerdrop = config.decoder_layerdrop
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model, padding_idx=config.pad_token_id)
        self.embed_positions = nn.Embedding(config.max_target_positions, config.d_model)
        self.layers = nn.ModuleList(WhisperDecoderLayer(config, i) for i in range(config.decoder_layers))
        self.layer_norm = nn.LayerNorm(config.d_model)
        self.post_init()

    def _embed(
        self,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        position_ids: Tensor | None,
        cache_position: Tensor,
    ) -> Tensor:
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        positions = cache_position if position_ids is None else position_ids
        if positions.numel() and int(cache_position[-1]) >= self.embed_positions.num_embeddings:
            raise ValueError(
                f"Position {int(cache_position[-1])} is beyond the {self.embed_positions.num_embeddings} that the "
                "decoder was built for. Generate fewer tokens (max_new_tokens) or shorten the prompt."
            )
        return inputs_embeds + self.embed_positions(positions).to(inputs_embeds.device)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Decode tokens.

        Args:
            input_ids: (B, L), or inputs_embeds (B, L, C).
            attention_mask: (B, positions so far), 0 at padding.
            encoder_hidden_states: (B, T, C); None leaves cross attention out.
            head_mask, cross_attn_head_mask: (layers, heads), 1 keeps a head.
            past_key_values: a cache from an earlier call; position_ids (B, L) override cache_position (L,).

        Raises:
            ValueError: both or neither of input_ids and inputs_embeds, or more positions than the model has.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Pass exactly one of decoder_input_ids and decoder_inputs_embeds.")
        use_cache = self.config.use_cache if use_cache is None else use_cache
        if use_cache and past_key_values is None:
            past_key_values = EncoderDecoderCache(DynamicCache(), DynamicCache())
        past_key_values = as_cache(past_key_values)
        if cache_position is None:
            given = input_ids if input_ids is not None else inputs_embeds
            assert given is not None
            length = given.shape[1]
            seen = past_key_values.get_seq_length() if past_key_values is not None else 0
            cache_position = torch.arange(seen, seen + length, device=self.embed_tokens.weight.device)
        hidden_BLC = self._embed(input_ids, inputs_embeds, position_ids, cache_position)
        own_cache = past_key_values
        if isinstance(past_key_values, EncoderDecoderCache):
            own_cache = past_key_values.self_attention_cache
        mask = create_causal_mask(self.config, hidden_BLC, attention_mask, cache_position, own_cache)
        hidden_BLC = F.dropout(hidden_BLC, self.dropout, self.training)
        masks = (
            check_head_mask(head_mask, len(self.layers), "decoder_head_mask"),
            check_head_mask(cross_attn_head_mask, len(self.layers), "cross_attn_head_mask"),
        )
        states, attentions, cross = [], [], []
        for layer, own_mask, cross_mask in zip(self.layers, *masks, strict=True):
            states.append(hidden_BLC)
            if self.training and self.layerdrop > 0 and torch.rand([]) < self.layerdrop:
                continue
            hidden_BLC, weights, cross_weights = layer(
                hidden_BLC,
                mask,
                encoder_hidden_states,
                own_mask,
                cross_mask,
                past_key_values=past_key_values if use_cache else None,
                output_attentions=output_attentions,
                cache_position=cache_position,
            )
            attentions.append(weights)
            cross.append(cross_weights)
        hidden_BLC = self.layer_norm(hidden_BLC)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden_BLC,
            past_key_values=past_key_values if use_cache else None,
            hidden_states=(*states, hidden_BLC) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
            cross_attentions=tuple(cross) if output_attentions and encoder_hidden_states is not None else None,
        )


def as_cache(past_key_values: Any) -> Cache | None:
    """A cache from what a caller passed: a cache, or legacy tuples of tensors."""
    if past_key_values is None or isinstance(past_key_values, Cache):
        return past_key_values
    return EncoderDecoderCache.from_legacy_cache(past_key_values)


class WhisperModel(WhisperPreTrainedModel):
    """Encoder and decoder without a head."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.encoder = WhisperEncoder(config)
        self.decoder = WhisperDecoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding of the decoder."""
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding of the decoder."""
        self.decoder.embed_tokens = value  # type: ignore[assignment]

    def get_encoder(self) -> WhisperEncoder:
        """The encoder."""
        return self.encoder

    def get_decoder(self) -> WhisperDecoder:
        """The decoder."""
        return self.decoder

    def _mask_input_features(self, input_features: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """SpecAugment, in training and where the config asks for it."""
        if not (self.training and self.config.apply_spec_augment):
            return input_features
        return spec_augment(self.config, input_features, attention_mask)

    @model_forward
    def forward(
        self,
        input_features: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Cache | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        decoder_position_ids: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
    ) -> Seq2SeqModelOutput:
        """Encode features (unless `encoder_outputs` are given) and decode tokens.

        Args:
            input_features: (B, F, S).
            attention_mask: (B, S), where the features are sound; only SpecAugment reads it.
            decoder_input_ids: (B, L), or decoder_inputs_embeds (B, L, C).
            encoder_outputs: a BaseModelOutput or a tuple of one's fields.

        Raises:
            ValueError: neither features nor encoder outputs.
        """
        encoded = self._encode(
            input_features, attention_mask, head_mask, encoder_outputs, output_attentions, output_hidden_states
        )
        decoded = self.decoder(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=encoded.last_hidden_state,
            head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            past_key_values=past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            position_ids=decoder_position_ids,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            cache_position=cache_position,
            return_dict=True,
        )
        return Seq2SeqModelOutput(
            last_hidden_state=decoded.last_hidden_state,
            past_key_values=decoded.past_key_values,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=encoded.last_hidden_state,
            encoder_hidden_states=encoded.hidden_states,
            encoder_attentions=encoded.attentions,
        )

    def _encode(
        self,
        input_features: Tensor | None,
        attention_mask: Tensor | None,
        head_mask: Tensor | None,
        encoder_outputs: Any,
        output_attentions: bool,
        output_hidden_states: bool,
    ) -> BaseModelOutput:
        if encoder_outputs is None:
            if input_features is None:
                raise ValueError("Pass input_features (from the processor) or encoder_outputs.")
            output: BaseModelOutput = self.encoder(
                self._mask_input_features(input_features, attention_mask),
                head_mask=head_mask,
                output_attentions=output_attentions,
                output_hidden_states=output_hidden_states,
                return_dict=True,
            )
            return output
        if isinstance(encoder_outputs, BaseModelOutput):
            return encoder_outputs
        fields = ("last_hidden_state", "hidden_states", "attentions")
        return BaseModelOutput(**dict(zip(fields, encoder_outputs, strict=False)))
