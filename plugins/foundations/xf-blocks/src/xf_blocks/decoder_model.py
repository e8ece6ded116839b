"""The body of a causal decoder: embeddings, layers, a last norm.

A family subclasses `DecoderModel`, says how a layer and a norm are built, and overrides a step where it differs.

Shapes: B batch, T new tokens, K tokens so far, C model width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from xf.interfaces.cache import Cache, layer_kinds
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import BaseModelOutputWithPast

from .decoder_inputs import check_decoder_inputs, decoder_masks, start_cache
from .recorder import Recorder
from .rotary import RotaryEmbedding, Rotation


class DecoderModel(PreTrainedModel):
    """Token embeddings, num_hidden_layers times `build_layer`, a last norm, rotary positions.

    embeddings_name, norm_name: what a family's checkpoints call the first and the last.
    """

    embeddings_name: ClassVar[str] = "embed_tokens"
    norm_name: ClassVar[str] = "norm"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.padding_idx = config.pad_token_id
        self.vocab_size = config.vocab_size
        self.kinds = layer_kinds(config)
        setattr(self, self.embeddings_name, self.build_embeddings(config))
        self.layers = nn.ModuleList([self.build_layer(config, index) for index in range(config.num_hidden_layers)])
        setattr(self, self.norm_name, self.build_norm(config))
        self.rotary_emb = self.build_rotary(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return getattr(self, self.embeddings_name)

    def set_input_embeddings(self, value: nn.Module) -> None:
        setattr(self, self.embeddings_name, value)

    # ---- what a family says ---------------------------------------------------------------------------------------

    def build_layer(self, config: Any, layer_idx: int) -> nn.Module:
        """Layer layer_idx: one of `xf_blocks.decoder_layer`, or of the same form."""
        raise NotImplementedError(f"{type(self).__name__} must define build_layer(config, layer_idx).")

    def build_norm(self, config: Any) -> nn.Module:
        """The norm after the last layer."""
        raise NotImplementedError(f"{type(self).__name__} must define build_norm(config).")

    def build_rotary(self, config: Any) -> RotaryEmbedding:
        """The rotary embedding of all layers."""
        return RotaryEmbedding(config)

    def build_embeddings(self, config: Any) -> nn.Embedding:
        """The token embedding."""
        return nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)

    def scale_inputs(self, x_BTC: Tensor) -> Tensor:
        """What is done to embeddings, given or looked up, before the first layer."""
        return x_BTC

    def rotations(self, x_BTC: Tensor, position_ids: Tensor | None, start: int) -> Sequence[Rotation]:
        """One rotation for each layer: at position_ids (B or 1, T), else at T positions from `start`."""
        return (turn(self.rotary_emb, x_BTC, position_ids, start),) * len(self.layers)

    # ---- forward --------------------------------------------------------------------------------------------------

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Run T tokens, input_ids (B, T) or inputs_embeds (B, T, C), after those in past_key_values.

        attention_mask: (B, K) with 0 at padding, or a ready mask (B, 1 or H, T, K), or {layer kind: ready mask}.
        position_ids (B, T) and cache_position (T,): default to the positions that follow those in the cache.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given; TypeError for unknown arguments.
        """
        check_decoder_inputs(self, input_ids, inputs_embeds, kwargs)
        x_BTC, masks, rotations, past_key_values, use_cache = self.begin(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache, cache_position
        )
        seen = Recorder(output_hidden_states, output_attentions)
        for layer, kind, rotation in zip(self.layers, self.kinds, rotations, strict=True):
            seen.state(x_BTC)
            x_BTC, weights = layer(
                x_BTC,
                rotation,
                masks[kind],
                past_key_values=past_key_values,
                cache_position=cache_position,
                output_attentions=output_attentions,
            )
            seen.weights(weights)
        x_BTC = getattr(self, self.norm_name)(x_BTC)
        seen.state(x_BTC)
        return BaseModelOutputWithPast(
            last_hidden_state=x_BTC,
            past_key_values=past_key_values if use_cache else None,
            hidden_states=seen.hidden_states,
            attentions=seen.attentions,
        )

    def begin(
        self,
        input_ids: Tensor | None,
        attention_mask: Any,
        position_ids: Tensor | None,
        past_key_values: Any,
        inputs_embeds: Tensor | None,
        use_cache: bool | None,
        cache_position: Tensor | None,
    ) -> tuple[Tensor, dict[str, Any], Sequence[Rotation], Cache | None, bool]:
        """What layers need: (x (B, T, C), {layer kind: mask}, a rotation per layer, cache, whether to return it)."""
        embedded = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        x_BTC = self.scale_inputs(embedded)
        cache, use_cache = start_cache(self, past_key_values, use_cache)
        start = cache.get_seq_length() if cache is not None and cache_position is None else 0
        masks = decoder_masks(
            self.config, self.kinds, x_BTC, attention_mask, cache_position, cache, position_ids, start
        )
        if position_ids is None and cache_position is not None:
            position_ids = cache_position[None]
        return x_BTC, masks, self.rotations(x_BTC, position_ids, start), cache, use_cache


def turn(rotary: RotaryEmbedding, x_BTC: Tensor, position_ids: Tensor | None, start: int) -> Rotation:
    """rotary's rotation at position_ids (B or 1, T), else at T positions from `start`."""
    if position_ids is None:
        return rotary.rotation(x_BTC, start, x_BTC.shape[1])
    return rotary.rotation_at(x_BTC, position_ids)
