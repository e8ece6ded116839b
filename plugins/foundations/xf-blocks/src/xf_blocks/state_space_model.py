"""Models that are state-space layers throughout (Mamba and its kin): body, next-token head, what a call remembers.

Shapes: B batch, T new tokens, C model width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel, model_forward
from xf.outputs import ModelOutput

from .decoder_heads import DecoderWithHead, kept_positions
from .decoder_inputs import check_decoder_inputs
from .losses import causal_lm_loss


class StateSpaceOutput(ModelOutput):
    """Last states and what the next tokens continue from."""

    last_hidden_state: Tensor | None = None
    cache_params: Any = None
    hidden_states: tuple[Tensor, ...] | None = None


class StateSpaceCausalLMOutput(ModelOutput):
    """Next-token logits and what the next tokens continue from."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    cache_params: Any = None
    hidden_states: tuple[Tensor, ...] | None = None


class StateSpaceLayer(GradientCheckpointingLayer):
    """x += mixer(norm(x)), the sum in float32 where residual_in_fp32 says so."""

    def __init__(self, norm: nn.Module, mixer: nn.Module, layer_idx: int, residual_in_fp32: bool) -> None:
        super().__init__()
        self.norm, self.mixer = norm, mixer
        self.layer_idx, self.residual_in_fp32 = layer_idx, residual_in_fp32

    def forward(self, x_BTC: Tensor, cache: Any = None, fresh: bool = True, attention_mask: Any = None) -> Tensor:
        """(B, T, C) -> (B, T, C); reads and updates the layer's states in `cache`. fresh: a text begins here."""
        index = self.layer_idx
        past = None if cache is None or fresh else (cache.conv_states[index], cache.ssm_states[index])
        normed = self.norm(x_BTC.to(self.norm.weight.dtype))
        mixed, (conv, state) = self.mixer(normed, past, attention_mask)
        if cache is not None:
            with torch.no_grad():
                cache.conv_states[index].copy_(conv)
                cache.ssm_states[index].copy_(state)
        return (x_BTC.float() if self.residual_in_fp32 else x_BTC) + mixed


class StateSpaceModel(PreTrainedModel):
    """Token embeddings, layers, a last norm. A family defines `build_mixer`, `build_norm` and `build_cache`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            [
                StateSpaceLayer(
                    self.build_norm(config), self.build_mixer(config, index), index, config.residual_in_fp32
                )
                for index in range(config.num_hidden_layers)
            ]
        )
        self.norm_f = self.build_norm(config)
        self.post_init()

    def build_mixer(self, config: Any, layer_idx: int) -> nn.Module:
        """(x (B, T, C), past or None, mask) -> (x, (latest inputs of the convolution, state))."""
        raise NotImplementedError(f"{type(self).__name__} must define build_mixer(config, layer_idx).")

    def build_norm(self, config: Any) -> nn.Module:
        """The norm before each layer and after the last."""
        raise NotImplementedError(f"{type(self).__name__} must define build_norm(config).")

    def build_cache(self, batch: int, like: Tensor) -> Any:
        """An empty cache with conv_states and ssm_states of every layer, for tensors like `like`."""
        raise NotImplementedError(f"{type(self).__name__} must define build_cache(batch, like).")

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings = value

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache_params: Any = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        **kwargs: Any,
    ) -> StateSpaceOutput:
        """Run T tokens, input_ids (B, T) or inputs_embeds (B, T, C), after those in cache_params.

        attention_mask: (B, T) or (B, tokens so far), 0 at padding, which goes in front. use_cache: True outside of
        training by default. cache_position (T,): where the tokens stand; a text begins at 0.
        hidden_states: after each layer, and after the last norm.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, and for output_attentions: there
        are none; TypeError for unknown arguments.
        """
        check_decoder_inputs(self, input_ids, inputs_embeds, kwargs)
        if output_attentions:
            raise ValueError(f"{type(self).__name__} has no attention whose weights could be returned.")
        if use_cache is None:
            use_cache = bool(self.config.use_cache) and not self.training
        if self.training and self.is_gradient_checkpointing:
            use_cache = False
        x_BTC = self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        fresh = cache_params is None or (cache_position is not None and int(cache_position[0]) == 0)
        if cache_params is None and use_cache:
            cache_params = self.build_cache(x_BTC.shape[0], x_BTC)
        states = []
        for layer in self.layers:
            x_BTC = layer(x_BTC, cache_params, fresh, attention_mask)
            states.append(x_BTC)
        x_BTC = self.norm_f(x_BTC.to(self.norm_f.weight.dtype))
        return StateSpaceOutput(
            last_hidden_state=x_BTC,
            cache_params=cache_params if use_cache else None,
            hidden_states=(*states, x_BTC) if output_hidden_states else None,
        )


class StateSpaceCausalLM(DecoderWithHead):
    """Next-token logits (B, T, V) in float32."""

    base_model_prefix = "backbone"
    tied_weights: ClassVar = {"lm_head.weight": "backbone.embeddings.weight"}

    def build_head(self, config: Any) -> None:
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def make_cache(self, config: Any, rows: int, forgets: bool) -> None:
        """None: the first forward of a text makes its cache.

        Raises: ValueError where tokens would have to be dropped again.
        """
        if forgets:
            raise ValueError(f"{type(self).__name__} cannot forget its latest tokens, which this decoding asks for.")

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache_params: Any = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        output_hidden_states: bool = False,
        logits_to_keep: int | Tensor = 0,
        num_items_in_batch: int | Tensor | None = None,
        shift_labels: Tensor | None = None,
        **kwargs: Any,
    ) -> StateSpaceCausalLMOutput:
        """As the body, and labels, logits_to_keep, num_items_in_batch, shift_labels: see `decoder_heads.CausalLM`."""
        outputs = self.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            cache_params=cache_params,
            use_cache=use_cache,
            cache_position=cache_position,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **kwargs,
        )
        kept = kept_positions(outputs.last_hidden_state, logits_to_keep)
        logits_BTV = self.lm_head(kept.to(self.lm_head.weight.dtype)).float()
        loss = None
        if labels is not None or shift_labels is not None:
            loss = causal_lm_loss(logits_BTV, labels, num_items_in_batch, shift_labels)
        return StateSpaceCausalLMOutput(
            loss=loss,
            logits=logits_BTV,
            cache_params=outputs.cache_params,
            hidden_states=outputs.hidden_states,
        )
