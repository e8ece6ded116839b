"""Decoders with experts: a router sends each token to a few of many feed-forward blocks (arXiv:1701.06538).

Shapes: B batch, T tokens, N = B * T tokens of all rows, E experts, X experts per token, V vocabulary, C width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.model import model_forward
from xf.interfaces.model_utils import GradientCheckpointingLayer
from xf.outputs import MoeCausalLMOutputWithPast, MoeModelOutputWithPast

from .decoder_heads import CausalLM, kept_positions
from .decoder_inputs import check_decoder_inputs
from .decoder_model import DecoderModel
from .losses import causal_lm_loss
from .recorder import Recorder
from .rotary import Rotation


def run_experts(x_NC: Tensor, experts: Sequence[nn.Module], chosen_NX: Tensor, weights_NX: Tensor) -> Tensor:
    """Each token through its experts, added up by weight: (N, C). An expert sees its tokens alone, in one batch."""
    out_NC = torch.zeros_like(x_NC)
    for index in chosen_NX.unique().tolist():
        rows, places = (chosen_NX == index).nonzero(as_tuple=True)
        weighted = experts[index](x_NC[rows]) * weights_NX[rows, places, None]
        out_NC.index_add_(0, rows, weighted.to(out_NC.dtype))
    return out_NC


def top_experts(logits_NE: Tensor, count: int, normalise: bool) -> tuple[Tensor, Tensor]:
    """(indices, probabilities) of the `count` likeliest experts, (N, X) each; normalise: to a sum of 1."""
    weights_NX, chosen_NX = logits_NE.softmax(dim=-1, dtype=torch.float32).topk(count, dim=-1)
    return chosen_NX, weights_NX / weights_NX.sum(dim=-1, keepdim=True) if normalise else weights_NX


def load_balancing_loss(
    router_logits: Sequence[Tensor], num_experts: int, top_k: int, attention_mask: Tensor | None = None
) -> Tensor:
    """E times the sum over experts of (share of tokens) x (mean probability) (arXiv:2101.03961, equations 4 to 6).

    router_logits: (N, E) of each layer. attention_mask (B, K), its last columns those of the tokens: padding is not
    counted. Normaliser: tokens of all layers.
    """
    logits = torch.cat([layer.to(router_logits[0].device) for layer in router_logits])
    probabilities = logits.softmax(dim=-1)
    chosen = F.one_hot(probabilities.topk(top_k, dim=-1).indices, num_experts).float()
    if attention_mask is None or attention_mask.ndim != 2:
        share_XE, mean_E = chosen.mean(dim=0), probabilities.mean(dim=0)
    else:
        tokens = router_logits[0].shape[0] // attention_mask.shape[0]
        real = attention_mask[:, -tokens:].reshape(-1).to(logits).repeat(len(router_logits))
        share_XE = (chosen * real[:, None, None]).sum(dim=0) / real.sum()
        mean_E = (probabilities * real[:, None]).sum(dim=0) / real.sum()
    return (share_XE * mean_E).sum() * num_experts


class MoePreNormLayer(GradientCheckpointingLayer):
    """A pre-norm layer whose feed-forward block may route; then the block returns (states, router logits (N, E)).

    mlp_name: what a family's checkpoints call that block.
    """

    mlp_name: ClassVar[str] = "mlp"

    def __init__(self, self_attn: nn.Module, mlp: nn.Module, attention_norm: nn.Module, mlp_norm: nn.Module) -> None:
        super().__init__()
        self.self_attn = self_attn
        setattr(self, self.mlp_name, mlp)
        self.input_layernorm = attention_norm
        self.post_attention_layernorm = mlp_norm

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """As every decoder layer, and the router's logits, None for a dense block."""
        attended, weights = self.self_attn(
            self.input_layernorm(x_BTC), rotation, attention_mask, past_key_values, cache_position, output_attentions
        )
        x_BTC = x_BTC + attended
        inner = getattr(self, self.mlp_name)(self.post_attention_layernorm(x_BTC))
        inner, router_logits = inner if isinstance(inner, tuple) else (inner, None)
        return x_BTC + inner, weights, router_logits


class MoeDecoderModel(DecoderModel):
    """A decoder whose layers may have experts."""

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
        output_router_logits: bool | None = None,
        **kwargs: Any,
    ) -> MoeModelOutputWithPast:
        """As `DecoderModel.forward`, and output_router_logits: logits (N, E) of each layer that routes."""
        check_decoder_inputs(self, input_ids, inputs_embeds, kwargs)
        if output_router_logits is None:
            output_router_logits = self.config.output_router_logits
        x_BTC, masks, rotations, past_key_values, use_cache = self.begin(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache, cache_position
        )
        seen, routed = Recorder(output_hidden_states, output_attentions), []
        for layer, kind, rotation in zip(self.layers, self.kinds, rotations, strict=True):
            seen.state(x_BTC)
            x_BTC, weights, router_logits = layer(
                x_BTC,
                rotation,
                masks[kind],
                past_key_values=past_key_values,
                cache_position=cache_position,
                output_attentions=output_attentions,
            )
            if weights is not None:  # layers without attention have none
                seen.weights(weights)
            if router_logits is not None:
                routed.append(router_logits)
        x_BTC = getattr(self, self.norm_name)(x_BTC)
        seen.state(x_BTC)
        return MoeModelOutputWithPast(
            last_hidden_state=x_BTC,
            past_key_values=past_key_values if use_cache else None,
            hidden_states=seen.hidden_states,
            attentions=seen.attentions,
            router_logits=tuple(routed) if output_router_logits else None,
        )


class MoeCausalLM(CausalLM):
    """Next-token logits, and with output_router_logits the loss that balances the experts.

    experts_name: the config's field with the number of experts.
    """

    experts_name: ClassVar[str] = "num_experts"

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
        output_router_logits: bool | None = None,
        cache_position: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        num_items_in_batch: int | Tensor | None = None,
        shift_labels: Tensor | None = None,
        **kwargs: Any,
    ) -> MoeCausalLMOutputWithPast:
        """As `CausalLM.forward`; aux_loss, where computed, is part of the loss, times config.router_aux_loss_coef."""
        config = self.config
        if output_router_logits is None:
            output_router_logits = config.output_router_logits
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
            output_router_logits=output_router_logits,
            return_dict=True,
            **kwargs,
        )
        logits_BTV = self.logits(kept_positions(outputs.last_hidden_state, logits_to_keep))
        loss = aux_loss = None
        if labels is not None or shift_labels is not None:
            loss = causal_lm_loss(logits_BTV, labels, num_items_in_batch, shift_labels)
        if output_router_logits and outputs.router_logits:
            experts = getattr(config, self.experts_name)
            aux_loss = load_balancing_loss(outputs.router_logits, experts, config.num_experts_per_tok, attention_mask)
            if loss is not None:
                loss = loss + config.router_aux_loss_coef * aux_loss.to(loss.device)
        return MoeCausalLMOutputWithPast(
            loss=loss,
            aux_loss=aux_loss,
            logits=logits_BTV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            router_logits=outputs.router_logits,
        )
