"""Decoders that name their parts in their own way (OPT, BLOOM, GPT-J ...): attention, body, and head masks.

`decoder_model` and `decoder_attention` serve the families whose checkpoints are named as Llama's. Here a family states
its projections and its layers; positions may be learned, rotated, or a bias on the scores.

Shapes: B batch, T new tokens, K tokens so far, H query heads, G key-value heads, D head width, C model width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf.interfaces.cache import Cache, layer_kinds
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import BaseModelOutputWithPast

from .decoder_inputs import check_decoder_inputs, decoder_masks, start_cache
from .recorder import Recorder
from .rotary import Rotation


class ClassicAttention(AttentionModule):
    """Causal attention whose family defines `project` and `output`, and `rotate` where positions are rotated."""

    is_causal = True

    def __init__(
        self, config: Any, layer_idx: int, head_dim: int, *, dropout: float = 0.0, scaling: float | None = None
    ) -> None:
        super().__init__(config)
        self.layer_idx, self.head_dim, self.attention_dropout = layer_idx, head_dim, dropout
        self.scaling = head_dim**-0.5 if scaling is None else scaling
        self.kernel_options: dict[str, Any] = {}

    def split(self, x_BTC: Tensor) -> Tensor:
        """(B, T, H D) -> (B, H, T, D)."""
        return x_BTC.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, D), keys and values (B, G, T, D)."""
        raise NotImplementedError(f"{type(self).__name__} must define project(x).")

    def output(self, attended_BTC: Tensor) -> Tensor:
        """The last projection."""
        raise NotImplementedError(f"{type(self).__name__} must define output(attended).")

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        """Queries and keys with their positions."""
        raise NotImplementedError(f"{type(self).__name__} must define rotate(q, k, rotation).")

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation | None,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
        head_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and, where a kernel gives them, the weights (B, H, T, K)."""
        q_BHTD, k_BGKD, v_BGKD = self.project(x_BTC)
        if rotation is not None:
            q_BHTD, k_BGKD = self.rotate(q_BHTD, k_BGKD, rotation)
        if past_key_values is not None:
            where = None if cache_position is None else {"cache_position": cache_position}
            k_BGKD, v_BGKD = past_key_values.update(k_BGKD, v_BGKD, self.layer_idx, where)
        options = self.kernel_options if head_mask is None else self.kernel_options | {"head_mask": head_mask}
        out_BTHD, weights = self.attend(q_BHTD, k_BGKD, v_BGKD, attention_mask, output_attentions, **options)
        return self.output(out_BTHD.flatten(2)), weights


class ClassicDecoderModel(PreTrainedModel):
    """Token embeddings, num_hidden_layers times `build_layer`, a last norm.

    embeddings_name, layers_name, norm_name: what a family's checkpoints call them. adds_token_types: token_type_ids
    are looked up in the token embedding and added.
    """

    embeddings_name: ClassVar[str] = "wte"
    layers_name: ClassVar[str] = "h"
    norm_name: ClassVar[str] = "ln_f"
    adds_token_types: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.vocab_size = config.vocab_size
        self.kinds = layer_kinds(config)
        setattr(self, self.embeddings_name, self.build_embeddings(config))
        self.build_extra(config)
        layers = [self.build_layer(config, index) for index in range(config.num_hidden_layers)]
        setattr(self, self.layers_name, nn.ModuleList(layers))
        setattr(self, self.norm_name, self.build_norm(config))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return getattr(self, self.embeddings_name)

    def set_input_embeddings(self, value: nn.Module) -> None:
        setattr(self, self.embeddings_name, value)

    # ---- what a family says ---------------------------------------------------------------------------------------

    def build_layer(self, config: Any, layer_idx: int) -> nn.Module:
        """Layer layer_idx: called as (x, rotation, mask, cache, cache_position, output_attentions, head_mask), it
        returns (x (B, T, C), attention weights (B, H, T, K) or None)."""
        raise NotImplementedError(f"{type(self).__name__} must define build_layer(config, layer_idx).")

    def build_embeddings(self, config: Any) -> nn.Module:
        """The token embedding."""
        return nn.Embedding(config.vocab_size, config.hidden_size)

    def build_norm(self, config: Any) -> nn.Module | None:
        """The norm after the last layer; None where there is none."""
        return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)

    def build_extra(self, config: Any) -> None:
        """Create further modules: position embeddings, dropout, norms of the inputs."""

    def embed(self, x_BTC: Tensor, position_ids: Tensor | None, attention_mask: Any, start: int) -> Tensor:
        """Embedded tokens, the first of which stands at `start`, with what goes in besides them."""
        return x_BTC

    def rotation(self, x_BTC: Tensor, position_ids: Tensor | None, start: int) -> Rotation | None:
        """The rotation of queries and keys at position_ids (B or 1, T), else at T positions from `start`."""
        return None

    def bias_mask(self, mask: Any, x_BTC: Tensor, attention_mask: Any, start: int) -> Any:
        """The mask of all layers with the family's bias on the scores."""
        return mask

    def finish(self, x_BTC: Tensor) -> Tensor:
        """After the last layer."""
        norm = getattr(self, self.norm_name)
        return x_BTC if norm is None else norm(x_BTC)

    # ---- forward --------------------------------------------------------------------------------------------------

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        head_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Run T tokens, input_ids (B, T) or inputs_embeds (B, T, C), after those in past_key_values.

        attention_mask: (B, K) with 0 at padding, or a ready mask (B, 1 or H, T, K), or {layer kind: ready mask}.
        position_ids (B, T) and cache_position (T,): default to the positions that follow those in the cache.
        head_mask: (H,) or (layers, H), 1 keeps a head.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given; TypeError for unknown arguments.
        """
        if not self.adds_token_types:
            kwargs["token_type_ids"] = token_type_ids
        check_decoder_inputs(self, input_ids, inputs_embeds, {k: v for k, v in kwargs.items() if v is not None})
        x_BTC = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        cache, use_cache = start_cache(self, past_key_values, use_cache)
        start = cache.get_seq_length() if cache is not None and cache_position is None else 0
        masks = decoder_masks(
            self.config, self.kinds, x_BTC, attention_mask, cache_position, cache, position_ids, start
        )
        masks = {kind: self.bias_mask(mask, x_BTC, attention_mask, start) for kind, mask in masks.items()}
        if position_ids is None and cache_position is not None:
            position_ids = cache_position[None]
        if self.adds_token_types and token_type_ids is not None:
            x_BTC = x_BTC + self.get_input_embeddings()(token_type_ids)
        x_BTC = self.embed(x_BTC, position_ids, attention_mask, start)
        rotation = self.rotation(x_BTC, position_ids, start)
        heads_L = self.get_head_mask(head_mask, len(self.kinds))
        seen = Recorder(output_hidden_states, output_attentions)
        for layer, kind, heads in zip(getattr(self, self.layers_name), self.kinds, heads_L, strict=True):
            seen.state(x_BTC)
            x_BTC, weights = layer(
                x_BTC,
                rotation,
                masks[kind],
                past_key_values=cache,
                cache_position=cache_position,
                output_attentions=output_attentions,
                head_mask=heads,
            )
            seen.weights(weights)
        x_BTC = self.finish(x_BTC)
        seen.state(x_BTC)
        return BaseModelOutputWithPast(
            last_hidden_state=x_BTC,
            past_key_values=cache if use_cache else None,
            hidden_states=seen.hidden_states,
            attentions=seen.attentions,
        )


def learned_positions(table: nn.Embedding, x_BTC: Tensor, position_ids: Tensor | None, start: int) -> Tensor:
    """Rows of a table for position_ids (B or 1, T), else for T positions from `start`: (B or 1, T, C).

    Raises: ValueError where the text is longer than the table.
    """
    if position_ids is not None:
        return table(position_ids)
    end = start + x_BTC.shape[1]
    if end > table.num_embeddings:
        raise ValueError(f"The text has {end} tokens, but the model has {table.num_embeddings} positions.")
    return table.weight[start:end][None]


def scores_bias(slopes_H: Tensor, positions_BK: Tensor, mask: Any, queries: int) -> Tensor:
    """ALiBi's bias (B or 1, H, T, K) for the keys of `mask`, which may have places for more (a static cache)."""
    bias_BH1K = slopes_H[None, :, None, None] * positions_BK[:, None, None, :].to(slopes_H.dtype)
    keys = mask.shape[-1] if isinstance(mask, Tensor) else bias_BH1K.shape[-1]
    return F.pad(bias_BH1K, (0, keys - bias_BH1K.shape[-1])).expand(-1, -1, queries, -1)
