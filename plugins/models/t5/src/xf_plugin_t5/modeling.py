"""T5 (arXiv:1910.10683): an encoder and a decoder that share their token embedding.

Shapes: B batch, T tokens, S tokens of the encoder, K keys, H heads, C width.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.cache import Cache
from xf.interfaces.mask import create_bidirectional_mask, create_causal_mask
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import BaseModelOutput, BaseModelOutputWithPastAndCrossAttentions, Seq2SeqModelOutput
from xf_blocks.attention_bias import mask_with_bias
from xf_blocks.recorder import Recorder
from xf_blocks.seq2seq_inputs import settle_use_cache, start_decoder_cache

from .configuration import T5Config
from .layers import T5Attention, T5Block, T5DenseActDense, T5DenseGatedActDense, T5LayerNorm

_STACKS = {"encoder.embed_tokens.weight": "shared.weight", "decoder.embed_tokens.weight": "shared.weight"}


def _everywhere(batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
    """A predicate that is always true: given to a mask maker, it keeps the maker from leaving the mask out."""
    return (q_idx >= 0) & (kv_idx >= 0)


class T5PreTrainedModel(PreTrainedModel):
    """What all T5 models declare."""

    config_class = T5Config
    base_model_prefix = "transformer"
    attention_needs = AttentionNeeds(additive_bias=True, dropout=True)
    # float16 overflows in the second half of the feed-forward block
    keep_in_fp32: ClassVar = ("wo",)
    ignore_unexpected: ClassVar = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        config, factor = self.config, self.config.initializer_factor
        width = config.d_model**-0.5
        if isinstance(module, T5LayerNorm):
            module.weight.fill_(factor)
        elif isinstance(module, (T5DenseActDense, T5DenseGatedActDense)):
            for name, part in module.named_children():
                if isinstance(part, nn.Linear):
                    part.weight.normal_(0.0, factor * (config.d_ff**-0.5 if name == "wo" else width))
        elif isinstance(module, T5Attention):
            inner = config.num_heads * config.d_kv
            module.q.weight.normal_(0.0, factor * (config.d_model * config.d_kv) ** -0.5)
            module.k.weight.normal_(0.0, factor * width)
            module.v.weight.normal_(0.0, factor * width)
            module.o.weight.normal_(0.0, factor * inner**-0.5)
            if hasattr(module, "relative_attention_bias"):
                module.relative_attention_bias.weight.normal_(0.0, factor * width)
        elif isinstance(module, nn.Embedding) and module.embedding_dim == config.d_model:
            module.weight.normal_(0.0, factor)
        elif isinstance(module, nn.Linear) and self._is_head(module):
            module.weight.normal_(0.0, factor if module is self.get_output_embeddings() else factor * width)
            if module.bias is not None:
                module.bias.zero_()

    def _is_head(self, module: nn.Linear) -> bool:
        """Whether a linear layer belongs to no block: the blocks initialise their own, by other rules."""
        return not any(module in block.modules() for block in self.modules() if isinstance(block, T5Block))

    def _shift_right(self, input_ids: Tensor) -> Tensor:
        """Decoder inputs of teacher forcing: the start token, then all but the last; -100 becomes padding.

        Raises: ValueError without config.decoder_start_token_id or config.pad_token_id.
        """
        start, pad = self.config.decoder_start_token_id, self.config.pad_token_id
        if start is None or pad is None:
            raise ValueError("Shifting labels needs config.decoder_start_token_id and config.pad_token_id: set both.")
        shifted = torch.cat([torch.full_like(input_ids[..., :1], start), input_ids[..., :-1]], dim=-1)
        return shifted.masked_fill(shifted == -100, pad)


class T5Stack(T5PreTrainedModel):
    """The encoder (config.is_decoder False) or the decoder."""

    block_class: ClassVar[type[T5Block]] = T5Block

    def __init__(self, config: T5Config, embed_tokens: nn.Embedding | None = None) -> None:
        super().__init__(config)
        self.is_decoder = config.is_decoder
        self.embed_tokens = embed_tokens or nn.Embedding(config.vocab_size, config.d_model)
        depth = config.num_layers
        self.block = nn.ModuleList(
            [self.block_class(config, self.is_decoder, layer_idx=index) for index in range(depth)]
        )
        self.final_layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.post_init()

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Run T tokens, input_ids (B, T) or inputs_embeds (B, T, C); in the decoder after those in past_key_values.

        attention_mask (B, K) and encoder_attention_mask (B, S): 0 at padding. head_mask: (H,) or (layers, H).
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given.
        """
        if (input_ids is None) == (inputs_embeds is None):
            prefix = "decoder_" if self.is_decoder else ""
            raise ValueError(f"T5 needs exactly one of {prefix}input_ids and {prefix}inputs_embeds.")
        x_BTC = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        use_cache = self.is_decoder and settle_use_cache(self, use_cache)
        cache = start_decoder_cache(past_key_values, use_cache) if self.is_decoder else None
        if cache_position is None:
            start = cache.get_seq_length() if cache is not None else 0
            cache_position = torch.arange(start, start + x_BTC.shape[1], device=x_BTC.device)
        masks = self.self_masks(x_BTC, attention_mask, cache_position, cache)
        cross_mask = self._cross_mask(x_BTC, encoder_hidden_states, encoder_attention_mask)
        masks_L = self.get_head_mask(head_mask, len(self.block))
        cross_masks_L = self.get_head_mask(cross_attn_head_mask, len(self.block))
        seen, cross = Recorder(output_hidden_states, output_attentions), Recorder(False, output_attentions)
        x_BTC = self.dropout(x_BTC)
        for index, block in enumerate(self.block):
            seen.state(x_BTC)
            x_BTC, weights, cross_weights = block(
                x_BTC, masks[index], encoder_hidden_states, cross_mask, past_key_values=cache,
                cache_position=cache_position, head_mask=masks_L[index], cross_head_mask=cross_masks_L[index],
                output_attentions=output_attentions,
            )  # fmt: skip
            seen.weights(weights)
            cross.weights(cross_weights)
        x_BTC = self.dropout(self.final_layer_norm(x_BTC))
        seen.state(x_BTC)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=x_BTC,
            past_key_values=cache if use_cache else None,
            hidden_states=seen.hidden_states,
            attentions=seen.attentions,
            cross_attentions=cross.attentions if self.is_decoder else None,
        )

    def self_masks(self, x_BTC: Tensor, mask: Tensor | None, positions_T: Tensor, cache: Cache | None) -> list[Tensor]:
        """For each layer the relative biases (B or 1, H, T, K), with the smallest number where attention is not
        allowed.
        """
        keys, allowed = self._allowed(x_BTC, mask, positions_T, cache)
        bias = self.block[0].layer[0].SelfAttention.position_bias(positions_T, keys).to(x_BTC.dtype)
        return [mask_with_bias(allowed, bias, is_causal=False)] * len(self.block)

    def _allowed(self, x_BTC: Tensor, mask: Tensor | None, positions_T: Tensor, cache: Cache | None) -> tuple[int, Any]:
        """(number of keys, mask of what may be attended to or None for all)."""
        keys, allowed = len(positions_T), None
        if not self.is_decoder:
            return keys, create_bidirectional_mask(self.config, x_BTC, mask)
        empty_slots = False
        if cache is not None:
            keys = cache.get_mask_sizes(positions_T)[0]
            empty_slots = cache.is_compileable or keys != cache.get_seq_length() + len(positions_T)
        if mask is not None or len(positions_T) > 1 or empty_slots:
            allowed = create_causal_mask(self.config, x_BTC, mask, positions_T, cache, and_mask_function=_everywhere)
        return keys, allowed

    def _cross_mask(self, x_BTC: Tensor, encoder_BSC: Tensor | None, mask: Tensor | None) -> Any:
        if encoder_BSC is None or mask is None:
            return None
        return create_bidirectional_mask(self.config, x_BTC, mask, encoder_BSC)


def stack_config(config: T5Config, decoder: bool) -> T5Config:
    """The config of one half."""
    half = copy.deepcopy(config)
    half.is_decoder, half.is_encoder_decoder, half.use_cache = decoder, False, decoder and config.use_cache
    half.tie_encoder_decoder = False
    if decoder:
        half.num_layers = config.num_decoder_layers
    half._attn_implementation, half._attn_explicit = config._attn_implementation, config._attn_explicit
    return half


class T5EncoderDecoder(T5PreTrainedModel):
    """Builds `shared`, `encoder` and `decoder`, and runs them; what T5Model and the heads have in common."""

    always_tied_weights: ClassVar = _STACKS
    stack_class: ClassVar[type[T5Stack]] = T5Stack

    def build_stacks(self, config: T5Config) -> None:
        """Create the shared embedding and both stacks."""
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = self.stack_class(stack_config(config, decoder=False), self.shared)
        self.decoder = self.stack_class(stack_config(config, decoder=True), self.shared)
        if config.tie_encoder_decoder:
            self.always_tied_weights = {**self.always_tied_weights, **self._halves()}  # type: ignore[misc]

    def _halves(self) -> dict[str, str]:
        """{encoder's name: decoder's name} of all that a tied encoder shares.

        Raises: ValueError where the decoder has no layer like that of the encoder.
        """
        decoder = {name: value.shape for name, value in self.decoder.named_parameters()}
        pairs = {name: name.replace(".layer.1.", ".layer.2.") for name, _ in self.encoder.named_parameters()}
        pairs.pop("embed_tokens.weight")
        unlike = [
            name for name, value in self.encoder.named_parameters() if decoder.get(pairs.get(name, name)) != value.shape
        ]
        if unlike:
            raise ValueError(f"tie_encoder_decoder=True, but the decoder has nothing like the encoder's {unlike[0]}.")
        return {f"encoder.{name}": f"decoder.{other}" for name, other in pairs.items()}

    def get_input_embeddings(self) -> nn.Module:
        """The shared token embedding."""
        return self.shared

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the shared token embedding, in both stacks too."""
        self.shared = self.encoder.embed_tokens = self.decoder.embed_tokens = cast(nn.Embedding, value)

    def get_encoder(self) -> T5Stack:
        """The encoder."""
        return self.encoder

    def get_decoder(self) -> T5Stack:
        """The decoder."""
        return self.decoder

    def _prune_heads(self, heads_to_prune: dict[int, list[int]]) -> None:
        raise NotImplementedError("T5 shares its relative biases over layers, so heads of one layer cannot be pruned.")

    def run_stacks(
        self, encoder: dict[str, Any], decoder: dict[str, Any], encoder_outputs: Any, **asked: bool
    ) -> Seq2SeqModelOutput:
        """Encode, unless encoder_outputs are given, and decode.

        encoder, decoder: keyword arguments of the stacks; asked: output_attentions and output_hidden_states of both.
        """
        if decoder.get("head_mask") is None and self.config.num_layers == self.config.num_decoder_layers:
            decoder["head_mask"] = encoder.get("head_mask")
        if encoder_outputs is None:
            encoder_outputs = self.encoder(**encoder, **asked, return_dict=True)
        elif not isinstance(encoder_outputs, dict):
            encoder_outputs = BaseModelOutput(*encoder_outputs)
        outputs = self.decoder(
            encoder_hidden_states=encoder_outputs[0],
            encoder_attention_mask=encoder.get("attention_mask"),
            **decoder,
            **asked,
            return_dict=True,
        )
        return Seq2SeqModelOutput(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            decoder_hidden_states=outputs.hidden_states,
            decoder_attentions=outputs.attentions,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=encoder_outputs[0],
            encoder_hidden_states=encoder_outputs.get("hidden_states"),
            encoder_attentions=encoder_outputs.get("attentions"),
        )


class T5Model(T5EncoderDecoder):
    """Encoder and decoder without a head."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.build_stacks(config)
        self.post_init()

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
    ) -> Seq2SeqModelOutput:
        """Encode input_ids (B, S) and decode decoder_input_ids (B, T); masks (B, S) and (B, T) are 0 at padding."""
        return self.run_stacks(
            {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "inputs_embeds": inputs_embeds,
                "head_mask": head_mask,
            },
            {
                "input_ids": decoder_input_ids,
                "attention_mask": decoder_attention_mask,
                "inputs_embeds": decoder_inputs_embeds,
                "head_mask": decoder_head_mask,
                "cross_attn_head_mask": cross_attn_head_mask,
                "past_key_values": past_key_values,
                "use_cache": use_cache,
                "cache_position": cache_position,
            },
            encoder_outputs,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )


class T5EncoderModel(T5PreTrainedModel):
    """The encoder alone."""

    always_tied_weights: ClassVar = {"encoder.embed_tokens.weight": "shared.weight"}
    ignore_unexpected: ClassVar = ("decoder.*", "lm_head.weight")  # of whole models
    stack_class: ClassVar[type[T5Stack]] = T5Stack

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = self.stack_class(stack_config(config, decoder=False), self.shared)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.shared

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.shared = self.encoder.embed_tokens = cast(nn.Embedding, value)

    def get_encoder(self) -> T5Stack:
        """The encoder."""
        return self.encoder

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        """Encode input_ids (B, S) or inputs_embeds (B, S, C); attention_mask (B, S) is 0 at padding."""
        found = self.encoder(
            input_ids,
            attention_mask,
            inputs_embeds=inputs_embeds,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        return BaseModelOutput(found.last_hidden_state, found.hidden_states, found.attentions)
