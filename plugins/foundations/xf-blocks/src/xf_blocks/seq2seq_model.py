"""Encoder-decoders in the layout of BART (arXiv:1910.13461): both stacks and the model of them.

A family declares what differs as class attributes of its PreTrainedModel: the layers, whether tokens' embeddings and
the stacks' ends are normalised, and how positions are made.

Shapes: B batch, T tokens, S tokens of the encoder, C width, L layers, H heads.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.mask import create_bidirectional_mask, create_causal_mask, to_additive
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import BaseModelOutput, BaseModelOutputWithPastAndCrossAttentions, Seq2SeqModelOutput

from .embeddings import ScaledEmbedding
from .recorder import Recorder
from .seq2seq_inputs import as_encoder_output, head_rows, settle_use_cache, shift_tokens_right, start_decoder_cache
from .seq2seq_layers import Seq2SeqDecoderLayer, Seq2SeqEncoderLayer
from .seq2seq_positions import BartPositions, SinusoidalPositions

LEFTOVERS = ("*encoder.version", "*decoder.version")  # in files that were converted early from fairseq
LM_WEIGHTS = ("final_logits_bias", "lm_head.weight")  # which models of another kind have no use for
STACK_TIES = {"encoder.embed_tokens.weight": "shared.weight", "decoder.embed_tokens.weight": "shared.weight"}


class Seq2SeqPreTrainedModel(PreTrainedModel):
    """What the models of a family declare.

    normalises_embeddings, normalises_output: LayerNorms behind the embeddings and behind the last layer of each stack.
    decoder_inputs_from_text: whether the decoder reads the encoder's text, shifted, where it is given nothing.
    """

    base_model_prefix = "model"
    ignore_unexpected: ClassVar[tuple[str, ...]] = LEFTOVERS
    encoder_layer_class: ClassVar[type[Seq2SeqEncoderLayer]] = Seq2SeqEncoderLayer
    decoder_layer_class: ClassVar[type[Seq2SeqDecoderLayer]] = Seq2SeqDecoderLayer
    normalises_embeddings: ClassVar[bool] = True
    normalises_output: ClassVar[bool] = False
    decoder_inputs_from_text: ClassVar[bool] = False

    @classmethod
    def build_tokens(cls, config: Any, vocab_size: int) -> nn.Embedding:
        """A token embedding, which multiplies by sqrt(C) where config.scale_embedding."""
        if not config.scale_embedding:
            return nn.Embedding(vocab_size, config.d_model, config.pad_token_id)
        return ScaledEmbedding(vocab_size, config.d_model, config.pad_token_id, config.d_model**0.5)

    @classmethod
    def build_positions(cls, config: Any, decoder: bool) -> nn.Module:
        """The positions of a stack."""
        return BartPositions(config.max_position_embeddings, config.d_model)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.init_std
        if isinstance(module, nn.Linear):
            module.weight.normal_(0.0, std)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, SinusoidalPositions):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, std)
            if module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
        elif isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()

    def shift_labels(self, labels: Tensor) -> Tensor:
        """Decoder inputs (B, T) of teacher forcing for labels (B, T)."""
        return shift_tokens_right(labels, self.config.pad_token_id, self.config.decoder_start_token_id)


class Seq2SeqStack(Seq2SeqPreTrainedModel):
    """Tokens, positions, norms and layers; what encoder and decoder have in common."""

    input_prefix: ClassVar[str] = ""  # of the stack's inputs among those of the whole model

    def build(self, config: Any, vocab_size: int, embed_tokens: nn.Embedding | None, decoder: bool) -> None:
        """Create the modules."""
        layer_class: Any = self.decoder_layer_class if decoder else self.encoder_layer_class
        width, depth = config.d_model, config.decoder_layers if decoder else config.encoder_layers
        self.layerdrop = config.decoder_layerdrop if decoder else config.encoder_layerdrop
        self.dropout = nn.Dropout(config.dropout)
        self.embed_tokens = self.build_tokens(config, vocab_size)
        if embed_tokens is not None:
            self.embed_tokens.weight = embed_tokens.weight
        self.embed_positions = self.build_positions(config, decoder)
        self.layers = nn.ModuleList([layer_class(config, index) for index in range(depth)])
        self.layernorm_embedding = nn.LayerNorm(width) if self.normalises_embeddings else nn.Identity()
        self.layer_norm = nn.LayerNorm(width) if self.normalises_output else nn.Identity()

    def tokens(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """(B, T) ids or their embeddings -> (B, T, C).

        Raises: ValueError unless exactly one is given.
        """
        if (input_ids is None) == (inputs_embeds is None):
            name = self.input_prefix
            raise ValueError(f"{type(self).__name__} needs exactly one of {name}input_ids and {name}inputs_embeds.")
        return self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds

    def place(self, x_BTC: Tensor, positions: Tensor) -> Tensor:
        """Join tokens and positions, both (B or 1, T, C)."""
        return self.layernorm_embedding(x_BTC + positions.to(x_BTC.device))

    def skips_layer(self) -> bool:
        """Whether to leave this layer out, at random while training (arXiv:1909.11556)."""
        return self.training and self.layerdrop > 0 and bool(torch.rand([]) < self.layerdrop)


class Seq2SeqEncoder(Seq2SeqStack):
    """Reads the text."""

    def __init__(self, config: Any, embed_tokens: nn.Embedding | None = None) -> None:
        super().__init__(config)
        self.build(config, config.vocab_size, embed_tokens, decoder=False)
        self.post_init()

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
        """input_ids (B, S) or inputs_embeds (B, S, C); attention_mask (B, S), 0 at padding; head_mask (L, H)."""
        x_BSC = self.tokens(input_ids, inputs_embeds)
        positions_S = torch.arange(x_BSC.shape[1], device=x_BSC.device)
        x_BSC = self.dropout(self.place(x_BSC, self.embed_positions(input_ids, x_BSC, positions_S)))
        mask = create_bidirectional_mask(self.config, x_BSC, attention_mask)
        seen = Recorder(output_hidden_states, output_attentions)
        for layer, rows in zip(self.layers, head_rows(head_mask, len(self.layers), "head_mask"), strict=True):
            seen.state(x_BSC)
            weights = None
            if not self.skips_layer():
                x_BSC, weights = layer(x_BSC, mask, rows, output_attentions)
            seen.weights(weights)
        x_BSC = self.layer_norm(x_BSC)
        seen.state(x_BSC)
        return BaseModelOutput(x_BSC, seen.hidden_states, cast(Any, seen.attentions))


class Seq2SeqDecoder(Seq2SeqStack):
    """Writes the text."""

    input_prefix = "decoder_"

    def __init__(self, config: Any, embed_tokens: nn.Embedding | None = None) -> None:
        super().__init__(config)
        self.build(config, self.decoder_vocabulary(config), embed_tokens, decoder=True)
        self.post_init()

    @staticmethod
    def decoder_vocabulary(config: Any) -> int:
        """How many tokens the decoder knows."""
        return int(config.vocab_size)

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
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """input_ids (B, T) or inputs_embeds (B, T, C), after the tokens in past_key_values.

        attention_mask (B, all tokens so far) and encoder_attention_mask (B, S): 0 at padding. encoder_hidden_states
        (B, S, C); without them there is no cross-attention. head_mask, cross_attn_head_mask: (L, H).
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, and for a text that is too long.
        """
        x_BTC = self.tokens(input_ids, inputs_embeds)
        use_cache = settle_use_cache(self, use_cache)
        cache = start_decoder_cache(past_key_values, use_cache)
        if cache_position is None:
            start = 0 if cache is None else cache.get_seq_length()
            cache_position = torch.arange(start, start + x_BTC.shape[1], device=x_BTC.device)
        x_BTC = self.dropout(self.place(x_BTC, self.embed_positions(input_ids, x_BTC, cache_position)))
        mask = self._causal_mask(x_BTC, attention_mask, cache_position, cache)
        cross_mask = None
        if encoder_hidden_states is not None:
            cross_mask = create_bidirectional_mask(self.config, x_BTC, encoder_attention_mask, encoder_hidden_states)
        seen = Recorder(
            output_hidden_states, output_attentions, output_attentions and encoder_hidden_states is not None
        )
        own_rows = head_rows(head_mask, len(self.layers), "decoder_head_mask")
        cross_rows = head_rows(cross_attn_head_mask, len(self.layers), "cross_attn_head_mask")
        for layer, own, cross in zip(self.layers, own_rows, cross_rows, strict=True):
            seen.state(x_BTC)
            if self.skips_layer():
                continue
            x_BTC, weights, cross_weights = layer(
                x_BTC, mask, encoder_hidden_states, cross_mask, own, cross, past_key_values=cache,
                output_attentions=output_attentions, cache_position=cache_position,
            )  # fmt: skip
            seen.weights(weights, cross_weights)
        x_BTC = self.layer_norm(x_BTC)
        seen.state(x_BTC)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=x_BTC,
            past_key_values=cache if use_cache else None,
            hidden_states=seen.hidden_states,
            attentions=cast(Any, seen.attentions),
            cross_attentions=cast(Any, seen.cross_attentions),
        )

    def _causal_mask(self, x_BTC: Tensor, mask: Any, cache_position: Tensor, cache: Cache | None) -> Any:
        causal = create_causal_mask(self.config, x_BTC, mask, cache_position, cache)
        if isinstance(causal, Tensor) and causal.dtype == torch.bool:
            return to_additive(
                causal, x_BTC.dtype
            )  # rows of left padding, which see nothing, then agree in all backends
        return causal


class Seq2SeqModel(Seq2SeqPreTrainedModel):
    """Encoder and decoder without a head; a family gives the classes of both."""

    always_tied_weights: ClassVar = STACK_TIES
    ignore_unexpected: ClassVar = (*LEFTOVERS, *LM_WEIGHTS)
    encoder_class: ClassVar[type[Seq2SeqEncoder]] = Seq2SeqEncoder
    decoder_class: ClassVar[type[Seq2SeqDecoder]] = Seq2SeqDecoder

    def __init__(self, config: Any) -> None:
        if config.tie_encoder_decoder:
            raise ValueError(f"{type(self).__name__} cannot share layers: leave out tie_encoder_decoder=True.")
        super().__init__(config)
        self.build_stacks(config)
        self.post_init()

    def build_stacks(self, config: Any) -> None:
        """Create the stacks and the token embedding that they share."""
        self.shared = self.build_tokens(config, config.vocab_size)
        self.encoder = self.encoder_class(config, self.shared)
        self.decoder = self.decoder_class(config, self.shared)

    def get_input_embeddings(self) -> nn.Module:
        """The shared token embedding."""
        return self.shared

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding, in both stacks too; the stacks keep the scale of theirs."""
        self.shared = self._like(self.shared, value)
        self.encoder.embed_tokens = self._like(self.encoder.embed_tokens, value)
        self.decoder.embed_tokens = self._like(self.decoder.embed_tokens, value)

    @staticmethod
    def _like(old: nn.Embedding, value: Any) -> nn.Embedding:
        """An embedding with the weights of `value` that scales as `old` does."""
        if type(value) is type(old) or not isinstance(old, ScaledEmbedding):
            return value
        new = ScaledEmbedding(value.num_embeddings, value.embedding_dim, value.padding_idx, old.scale)
        new.weight = value.weight
        return new.train(old.training)

    def get_encoder(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    def get_decoder(self) -> nn.Module:
        """The decoder."""
        return self.decoder

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
        """Encode input_ids (B, S), unless encoder_outputs are given, and decode decoder_input_ids (B, T).

        Masks: attention_mask (B, S) and decoder_attention_mask (B, all tokens so far), 0 at padding; head masks (L, H).
        """
        asked = {
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
            "return_dict": True,
        }
        if decoder_input_ids is None and decoder_inputs_embeds is None and self.decoder_inputs_from_text:
            if input_ids is None:
                raise ValueError("Without decoder_input_ids or decoder_inputs_embeds, input_ids are needed for them.")
            decoder_input_ids = self.shift_labels(input_ids)
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids, attention_mask, head_mask=head_mask, inputs_embeds=inputs_embeds, **asked
            )
        encoded = as_encoder_output(encoder_outputs)
        decoded = self.decoder(
            decoder_input_ids,
            decoder_attention_mask,
            encoded[0],
            attention_mask,
            head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            past_key_values=past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            cache_position=cache_position,
            **asked,
        )
        return seq2seq_output(encoded, decoded)


def seq2seq_output(encoded: Any, decoded: Any) -> Seq2SeqModelOutput:
    """The outputs of both stacks as one."""
    return Seq2SeqModelOutput(
        last_hidden_state=decoded.last_hidden_state,
        past_key_values=decoded.past_key_values,
        decoder_hidden_states=decoded.hidden_states,
        decoder_attentions=decoded.attentions,
        cross_attentions=decoded.cross_attentions,
        encoder_last_hidden_state=encoded[0],
        encoder_hidden_states=encoded.get("hidden_states"),
        encoder_attentions=encoded.get("attentions"),
    )


class _ScaledOutside(Seq2SeqStack):
    def build(self, config: Any, vocab_size: int, embed_tokens: nn.Embedding | None, decoder: bool) -> None:
        super().build(config, vocab_size, embed_tokens, decoder)
        self.embed_scale = config.d_model**0.5 if config.scale_embedding else 1.0


class ScaledOutsideEncoder(_ScaledOutside, Seq2SeqEncoder):
    """An encoder that itself multiplies the embeddings it looks up by sqrt(C), where config.scale_embedding."""

    def tokens(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        x_BTC = super().tokens(input_ids, inputs_embeds)
        return x_BTC * self.embed_scale if inputs_embeds is None else x_BTC


class ScaledOutsideDecoder(_ScaledOutside, Seq2SeqDecoder):
    """A decoder that multiplies embeddings by sqrt(C), those it is given as well, where config.scale_embedding."""

    def tokens(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        return super().tokens(input_ids, inputs_embeds) * self.embed_scale
