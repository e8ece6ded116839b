"""GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): pre-norm layers, learned
positions.

Shapes: B batch, T new tokens, K keys, H heads, D head width, C width, F inner width, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule, AttentionNeeds
from xf.interfaces.cache import Cache, EncoderDecoderCache
from xf.interfaces.mask import create_bidirectional_mask
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel, model_forward
from xf.outputs import BaseModelOutputWithPastAndCrossAttentions
from xf_blocks.activations import get_activation
from xf_blocks.decoder_inputs import check_decoder_inputs, decoder_masks, start_cache
from xf_blocks.pytorch_utils import Conv1D, find_pruneable_heads_and_indices, prune_conv1d_layer
from xf_blocks.recorder import Recorder

from .configuration import GPT2Config

_CAUSAL = ["full_attention"]


class GPT2Attention(AttentionModule):
    """Multi-head attention to earlier tokens, or to an encoder's states."""

    def __init__(self, config: GPT2Config, is_cross_attention: bool = False, layer_idx: int = 0) -> None:
        super().__init__(config)
        width = config.n_embd
        if width % config.n_head:
            raise ValueError(f"n_embd ({width}) must be a multiple of n_head ({config.n_head}).")
        self.layer_idx, self.is_cross_attention = layer_idx, is_cross_attention
        self.is_causal = not is_cross_attention
        self.num_heads, self.head_dim, self.split_size = config.n_head, width // config.n_head, width
        self.scaling = self.head_dim**-0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            self.scaling /= layer_idx + 1
        self.in_float32 = config.reorder_and_upcast_attn
        self.attention_dropout = config.attn_pdrop
        if is_cross_attention:
            self.c_attn, self.q_attn = Conv1D(2 * width, width), Conv1D(width, width)
        else:
            self.c_attn = Conv1D(3 * width, width)
        self.c_proj = Conv1D(width, width)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)
        self.pruned_heads: set[int] = set()

    def prune_heads(self, heads: list[int]) -> None:
        """Remove heads and their columns."""
        if not heads:
            return
        heads_left, index = find_pruneable_heads_and_indices(heads, self.num_heads, self.head_dim, self.pruned_heads)
        qkv = torch.cat([index, index + self.split_size, index + 2 * self.split_size])
        self.c_attn = prune_conv1d_layer(self.c_attn, qkv, dim=1)
        self.c_proj = prune_conv1d_layer(self.c_proj, index, dim=0)
        self.num_heads -= len(heads_left)
        self.split_size = self.num_heads * self.head_dim
        self.pruned_heads |= heads_left

    def forward(
        self,
        x_BTC: Tensor,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        head_mask: Tensor | None = None,
        encoder_BSC: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and, where a kernel gives them, the weights (B, H, T, K)."""
        if self.is_cross_attention:
            q_BHTD = self._heads(self.q_attn(x_BTC))
            k_BHKD, v_BHKD = self._encoder_states(encoder_BSC, past_key_values)
        else:
            q_BHTD, k_BHKD, v_BHKD = (self._heads(part) for part in self.c_attn(x_BTC).split(self.split_size, dim=2))
            if past_key_values is not None:
                where = None if cache_position is None else {"cache_position": cache_position}
                k_BHKD, v_BHKD = past_key_values.update(k_BHKD, v_BHKD, self.layer_idx, where)
        options = {} if head_mask is None else {"head_mask": head_mask}
        if self.in_float32:
            q_BHTD, k_BHKD, v_BHKD = q_BHTD.float(), k_BHKD.float(), v_BHKD.float()
            if attention_mask is not None and attention_mask.is_floating_point():
                attention_mask = attention_mask.float()
        out_BTHD, weights = self.attend(q_BHTD, k_BHKD, v_BHKD, attention_mask, output_attentions, **options)
        out_BTC = self.c_proj(out_BTHD.flatten(2).to(x_BTC.dtype))
        return self.resid_dropout(out_BTC), weights

    def _heads(self, x_BTC: Tensor) -> Tensor:
        return x_BTC.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def _encoder_states(self, encoder_BSC: Tensor | None, cache: Cache | None) -> tuple[Tensor, Tensor]:
        """Keys and values of the encoder's states, which are computed once per text."""
        if isinstance(cache, EncoderDecoderCache) and cache.is_updated.get(self.layer_idx):
            layer = cache.cross_attention_cache.layers[self.layer_idx]
            assert layer.keys is not None and layer.values is not None, "is_updated says that they are there"
            return layer.keys, layer.values
        assert encoder_BSC is not None, "checked by GPT2Model"
        k_BHSD, v_BHSD = (self._heads(part) for part in self.c_attn(encoder_BSC).split(self.split_size, dim=2))
        if isinstance(cache, EncoderDecoderCache):
            cache.is_updated[self.layer_idx] = True
            return cache.cross_attention_cache.update(k_BHSD, v_BHSD, self.layer_idx)
        return k_BHSD, v_BHSD


class GPT2MLP(nn.Module):
    """c_proj(act(c_fc(x))) and dropout."""

    def __init__(self, intermediate_size: int, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(intermediate_size, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, intermediate_size)
        self.act = get_activation(config.activation_function)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.dropout(self.c_proj(self.act(self.c_fc(x_BTC))))


class GPT2Block(GradientCheckpointingLayer):
    """x += attn(ln_1(x)); with an encoder x += crossattention(ln_cross_attn(x)); x += mlp(ln_2(x))."""

    def __init__(self, config: GPT2Config, layer_idx: int) -> None:
        super().__init__()
        width, eps = config.n_embd, config.layer_norm_epsilon
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.attn = GPT2Attention(config, layer_idx=layer_idx)
        self.ln_2 = nn.LayerNorm(width, eps=eps)
        if config.add_cross_attention:
            self.crossattention = GPT2Attention(config, is_cross_attention=True, layer_idx=layer_idx)
            self.ln_cross_attn = nn.LayerNorm(width, eps=eps)
        self.mlp = GPT2MLP(config.n_inner if config.n_inner is not None else 4 * width, config)

    def forward(
        self,
        x_BTC: Tensor,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        attention_mask: Any = None,
        head_mask: Tensor | None = None,
        encoder_BSC: Tensor | None = None,
        encoder_mask: Any = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The states and the weights of self- and cross-attention."""
        attended, weights = self.attn(
            self.ln_1(x_BTC), attention_mask, past_key_values, cache_position, head_mask, None, output_attentions
        )
        x_BTC = x_BTC + attended
        cross_weights = None
        if encoder_BSC is not None:
            attended, cross_weights = self.crossattention(
                self.ln_cross_attn(x_BTC),
                encoder_mask,
                past_key_values,
                None,
                head_mask,
                encoder_BSC,
                output_attentions,
            )
            x_BTC = x_BTC + attended
        return x_BTC + self.mlp(self.ln_2(x_BTC)), weights, cross_weights


class GPT2PreTrainedModel(PreTrainedModel):
    """What all GPT-2 models declare."""

    config_class = GPT2Config
    base_model_prefix = "transformer"
    attention_needs = AttentionNeeds(dropout=True)
    ignore_unexpected: ClassVar = ("*.attn.bias", "*.attn.masked_bias")  # causal masks that early checkpoints hold

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, Conv1D):
            module.weight.normal_(0.0, std)
            module.bias.zero_()
        elif isinstance(module, (GPT2Attention, GPT2MLP)):
            # the output of every residual branch shrinks with the number of branches (section 2.3)
            module.c_proj.weight.normal_(0.0, std / math.sqrt(2 * self.config.n_layer))
            module.c_proj._is_initialized = True  # type: ignore[assignment]
        else:
            super()._init_weights(module)


class GPT2Model(GPT2PreTrainedModel):
    """Token and position embeddings, n_layer blocks, a last norm."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.embed_dim = config.n_embd
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList([GPT2Block(config, layer_idx=index) for index in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.post_init()

    def _prune_heads(self, heads_to_prune: dict[int, list[int]]) -> None:
        for layer, heads in heads_to_prune.items():
            self.h[layer].attn.prune_heads(heads)

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
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Run T tokens, input_ids (B, T) or (B, choices, T), or inputs_embeds (B, T, C), after those in
        past_key_values.

        attention_mask: (B, K), 0 at padding, or a ready mask. token_type_ids (B, T): read with the token embedding.
        encoder_hidden_states (B, S, C): with config.add_cross_attention. head_mask: (H,) or (layers, H), 1 keeps a
        head.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, or for an encoder's states that
        nothing reads; TypeError for unknown arguments.
        """
        check_decoder_inputs(self, input_ids, inputs_embeds, kwargs)
        if encoder_hidden_states is not None and not self.config.add_cross_attention:
            raise ValueError("encoder_hidden_states were given, but config.add_cross_attention is False.")
        outer = input_ids.shape if input_ids is not None else inputs_embeds.shape[:-1]
        x_BTC = self.wte(input_ids.view(-1, outer[-1])) if input_ids is not None else inputs_embeds
        past_key_values, use_cache = self._start_cache(past_key_values, use_cache)
        start = past_key_values.get_seq_length() if past_key_values is not None and cache_position is None else 0
        if attention_mask is not None and attention_mask.ndim < 4:
            attention_mask = attention_mask.view(x_BTC.shape[0], -1)
        mask = decoder_masks(
            self.config, _CAUSAL, x_BTC, attention_mask, cache_position, past_key_values, position_ids, start
        )[_CAUSAL[0]]
        x_BTC = self._embed(x_BTC, position_ids, token_type_ids, cache_position, start)
        encoder_mask = self._encoder_mask(x_BTC, encoder_hidden_states, encoder_attention_mask)
        masks_L = self.get_head_mask(head_mask, self.config.n_layer)
        seen, cross = Recorder(output_hidden_states, output_attentions), Recorder(False, output_attentions)
        for index, block in enumerate(self.h):
            seen.state(x_BTC)
            x_BTC, weights, cross_weights = block(
                x_BTC, past_key_values, cache_position, mask, masks_L[index], encoder_hidden_states, encoder_mask,
                output_attentions,
            )  # fmt: skip
            seen.weights(weights)
            cross.weights(cross_weights)
        x_BTC = self.ln_f(x_BTC).view(*outer, -1)
        seen.state(x_BTC)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=x_BTC,
            past_key_values=past_key_values if use_cache else None,
            hidden_states=seen.hidden_states,
            attentions=seen.attentions,
            cross_attentions=cross.attentions if self.config.add_cross_attention else None,
        )

    def _start_cache(self, past_key_values: Any, use_cache: bool | None) -> tuple[Cache | None, bool]:
        cache, use_cache = start_cache(self, past_key_values, use_cache)
        if cache is not None and self.config.add_cross_attention and not isinstance(cache, EncoderDecoderCache):
            cache = EncoderDecoderCache(cache, type(cache)())
        return cache, use_cache

    def _embed(
        self,
        x_BTC: Tensor,
        position_ids: Tensor | None,
        token_type_ids: Tensor | None,
        cache_position: Tensor | None,
        start: int,
    ) -> Tensor:
        length = x_BTC.shape[1]
        if position_ids is None and cache_position is not None:
            position_ids = cache_position[None]
        if position_ids is None:
            end = start + length
            if end > self.config.n_positions:
                raise ValueError(f"The text has {end} tokens, but the model has {self.config.n_positions} positions.")
            x_BTC = x_BTC + self.wpe.weight[start:end]
        else:
            x_BTC = x_BTC + self.wpe(position_ids.view(-1, length))
        if token_type_ids is not None:
            x_BTC = x_BTC + self.wte(token_type_ids.view(-1, length))
        return self.drop(x_BTC)

    def _encoder_mask(self, x_BTC: Tensor, encoder_BSC: Tensor | None, mask: Tensor | None) -> Any:
        if encoder_BSC is None or mask is None:
            return None
        return create_bidirectional_mask(self.config, x_BTC, mask, encoder_BSC)
