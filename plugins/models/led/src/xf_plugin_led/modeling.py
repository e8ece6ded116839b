"""LED (arXiv:2004.05150, section 7): BART with the attention of Longformer in its encoder.

Shapes: B batch, S tokens of the encoder, T tokens of the decoder, X global tokens, H heads, L layers, C width.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.model import model_forward
from xf_blocks.recorder import Recorder
from xf_blocks.seq2seq_inputs import as_encoder_output, head_rows
from xf_blocks.seq2seq_layers import Seq2SeqEncoderLayer
from xf_blocks.seq2seq_model import Seq2SeqDecoder, Seq2SeqEncoder, Seq2SeqModel, Seq2SeqPreTrainedModel
from xf_blocks.seq2seq_positions import LearnedPositions
from xf_blocks.window_attention import Places, WindowSelfAttention

from .configuration import LEDConfig
from .outputs import LEDEncoderBaseModelOutput, LEDSeq2SeqModelOutput


class LEDEncoderAttention(nn.Module):
    """`longformer_self_attn`, and the output layer."""

    def __init__(self, config: LEDConfig, layer_idx: int) -> None:
        super().__init__()
        self.longformer_self_attn = WindowSelfAttention(
            config.d_model, config.encoder_attention_heads, config.windows()[layer_idx], config.attention_dropout
        )
        self.output = nn.Linear(config.d_model, config.d_model)

    def forward(self, x_BSC: Tensor, *args: Any) -> tuple[Tensor, tuple[Tensor | None, Tensor | None]]:
        """(B, S, C), and the weights to window and global tokens and those of the global tokens."""
        out_BSC, weights, global_weights = self.longformer_self_attn(x_BSC, *args)
        return self.output(out_BSC), (weights, global_weights)


class LEDEncoderLayer(Seq2SeqEncoderLayer):
    """Attention to a window and to global tokens, and feed-forward."""

    def build_attention(self, config: LEDConfig, layer_idx: int) -> nn.Module:
        return LEDEncoderAttention(config, layer_idx)

    def forward(  # type: ignore[override]
        self, x_BSC: Tensor, places: Places, head_mask: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, Any]:
        """The states and both kinds of weights."""
        x_BSC, weights = self.residual(
            x_BSC,
            self.self_attn_layer_norm,
            lambda y_BSC: self.self_attn(y_BSC, places, head_mask, output_attentions),
        )
        return self.residual(x_BSC, self.final_layer_norm, self.feed_forward)[0], weights


class LEDPreTrainedModel(Seq2SeqPreTrainedModel):
    """What all LED models declare."""

    config_class = LEDConfig
    base_model_prefix = "led"
    encoder_layer_class = LEDEncoderLayer
    decoder_inputs_from_text = True

    @classmethod
    def build_tokens(cls, config: Any, vocab_size: int) -> nn.Embedding:
        """Token embeddings, which are not scaled."""
        return nn.Embedding(vocab_size, config.d_model, config.pad_token_id)

    @classmethod
    def build_positions(cls, config: Any, decoder: bool) -> nn.Module:
        """A trained row per position; the encoder has more."""
        length = config.max_decoder_position_embeddings if decoder else config.max_encoder_position_embeddings
        return LearnedPositions(length, config.d_model)


class LEDEncoder(Seq2SeqEncoder, LEDPreTrainedModel):
    """The encoder."""

    @model_forward
    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> LEDEncoderBaseModelOutput:
        """As `Seq2SeqEncoder`, and: global_attention_mask (B, S), 1 at global tokens."""
        x_BSC = self.tokens(input_ids, inputs_embeds)
        positions_S = torch.arange(x_BSC.shape[1], device=x_BSC.device)
        x_BSC = self.dropout(self.place(x_BSC, self.embed_positions(input_ids, x_BSC, positions_S)))
        places = self._places(x_BSC, attention_mask, global_attention_mask)
        seen, global_weights = Recorder(output_hidden_states, output_attentions), []
        for layer, rows in zip(self.layers, head_rows(head_mask, len(self.layers), "head_mask"), strict=True):
            seen.state(x_BSC)
            weights = (None, None)
            if not self.skips_layer():
                x_BSC, weights = layer(x_BSC, places, rows, output_attentions)
            seen.weights(weights[0])
            global_weights.append(weights[1])
        seen.state(x_BSC)
        has_global = output_attentions and bool(places.index_BX.shape[1])
        fill = places.blocked_length - x_BSC.shape[1]
        return LEDEncoderBaseModelOutput(
            last_hidden_state=x_BSC,
            hidden_states=seen.hidden_states,
            attentions=cast(Any, seen.attentions),
            global_attentions=tuple(self._filled(w, places, fill) for w in global_weights) if has_global else None,
        )

    def _places(self, x_BSC: Tensor, mask: Tensor | None, global_mask: Tensor | None) -> Places:
        shape, device = x_BSC.shape[:2], x_BSC.device
        is_token_BS = torch.ones(shape, dtype=torch.bool, device=device) if mask is None else mask.bool()
        is_global_BS = torch.zeros(shape, dtype=torch.bool, device=device) if global_mask is None else global_mask > 0
        return Places.of(is_token_BS, is_global_BS, max(self.config.windows()))

    @staticmethod
    def _filled(weights_BHSX: Tensor | None, places: Places, fill: int) -> Any:
        """Rows up to whole windows, as published: nothing attends there, but a filling's weights are all the same."""
        if weights_BHSX is None or not fill:
            return weights_BHSX
        padded = F.pad(weights_BHSX, (0, 0, 0, fill))
        outside = torch.arange(padded.shape[2], device=padded.device)[:, None] >= weights_BHSX.shape[2]
        return padded.masked_fill(outside & ~places.valid_BX[:, None, None], 1 / places.blocked_length)


class LEDDecoder(Seq2SeqDecoder, LEDPreTrainedModel):
    """The decoder."""


class LEDModel(Seq2SeqModel, LEDPreTrainedModel):
    """Encoder and decoder without a head."""

    encoder_class = LEDEncoder
    decoder_class = LEDDecoder

    @model_forward
    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        global_attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
    ) -> LEDSeq2SeqModelOutput:
        """As `Seq2SeqModel`, and: global_attention_mask (B, S), 1 at tokens that attend to all and are seen by all."""
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids,
                attention_mask,
                global_attention_mask,
                head_mask=head_mask,
                inputs_embeds=inputs_embeds,
                output_attentions=output_attentions,
                output_hidden_states=output_hidden_states,
                return_dict=True,
            )
        encoded = as_encoder_output(encoder_outputs)
        found = super().forward(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            decoder_head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            encoder_outputs=encoded,
            past_key_values=past_key_values,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            cache_position=cache_position,
            return_dict=True,
        )
        return LEDSeq2SeqModelOutput(**found, encoder_global_attentions=encoded.get("global_attentions"))
