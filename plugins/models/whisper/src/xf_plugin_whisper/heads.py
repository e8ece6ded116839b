"""Whisper with a head: transcription, assisted text decoding, classification. Shapes: see `modeling`."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.model import model_forward
from xf.outputs import (
    BaseModelOutput,
    CausalLMOutputWithCrossAttentions,
    Seq2SeqLMOutput,
    SequenceClassifierOutput,
)
from xf_generation.mixin import GenerationMixin
from xf_plugin_whisper.configuration import WhisperConfig
from xf_plugin_whisper.decoder import WhisperDecoder, WhisperModel
from xf_plugin_whisper.generation import WhisperGenerationMixin
from xf_plugin_whisper.modeling import WhisperEncoder, WhisperPreTrainedModel, shift_tokens_right


class WhisperForConditionalGeneration(WhisperGenerationMixin, WhisperPreTrainedModel):
    """Speech to text: Whisper with the token embedding as its output layer."""

    tied_weights = {"proj_out.weight": "model.decoder.embed_tokens.weight"}

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.model = WhisperModel(config)
        self.proj_out = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.max_target_positions = config.max_target_positions
        self.post_init()

    def get_encoder(self) -> WhisperEncoder:
        """The encoder."""
        return self.model.encoder

    def get_decoder(self) -> WhisperDecoder:
        """The decoder."""
        return self.model.decoder

    def get_output_embeddings(self) -> nn.Module:
        """The output layer."""
        return self.proj_out

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the output layer."""
        self.proj_out = new_embeddings  # type: ignore[assignment]

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
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
    ) -> Seq2SeqLMOutput:
        """Logits (B, L, V), and with `labels` (B, L; -100 ignored) the mean loss over the labelled tokens.

        Other arguments are those of [`WhisperModel`]; without decoder inputs they are made from the labels.

        Raises:
            ValueError: labels longer than the decoder has positions.
        """
        if labels is not None:
            if labels.shape[1] > self.max_target_positions:
                raise ValueError(
                    f"Labels have {labels.shape[1]} tokens, but the decoder has {self.max_target_positions} positions: "
                    "cut the texts."
                )
            use_cache = False if use_cache is None else use_cache
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = shift_tokens_right(
                    labels, self.config.pad_token_id, self.config.decoder_start_token_id
                )
        outputs = self.model(
            input_features,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            head_mask=head_mask,
            decoder_head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            decoder_inputs_embeds=decoder_inputs_embeds,
            decoder_position_ids=decoder_position_ids,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            cache_position=cache_position,
            return_dict=True,
        )
        logits_BLV = self.proj_out(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits_BLV.flatten(0, 1), labels.to(logits_BLV.device).flatten())
        fields = {name: value for name, value in outputs.items() if name != "last_hidden_state"}
        return Seq2SeqLMOutput(loss=loss, logits=logits_BLV, **fields)


class WhisperDecoderWrapper(WhisperPreTrainedModel):
    """Holds a decoder under the name that checkpoints of the whole model use."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.decoder = WhisperDecoder(config)

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.decoder.embed_tokens = value  # type: ignore[assignment]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.decoder(*args, **kwargs)


class WhisperForCausalLM(WhisperPreTrainedModel, GenerationMixin):
    """The decoder alone, for assisted decoding: it reads encoder states that another model made."""

    main_input_name = "input_ids"
    tied_weights = {"proj_out.weight": "model.decoder.embed_tokens.weight"}
    ignore_unexpected = ("model.encoder.*",)

    def __init__(self, config: WhisperConfig) -> None:
        config = copy.deepcopy(config)
        config.is_encoder_decoder = False
        super().__init__(config)
        self.model = WhisperDecoderWrapper(config)
        self.proj_out = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """The output layer."""
        return self.proj_out

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the output layer."""
        self.proj_out = new_embeddings  # type: ignore[assignment]

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.model.set_input_embeddings(value)

    def get_decoder(self) -> WhisperDecoder:
        """The decoder."""
        return self.model.decoder

    def set_decoder(self, decoder: WhisperDecoder) -> None:
        """Replace the decoder."""
        self.model.decoder = decoder

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
    ) -> CausalLMOutputWithCrossAttentions:
        """Logits (B, L, V) of `input_ids` (B, L) given `encoder_outputs`; `labels` (B, L) are not shifted here."""
        if isinstance(encoder_outputs, (BaseModelOutput, tuple, list)):
            encoder_outputs = encoder_outputs[0]
        outputs = self.model.decoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=encoder_outputs,
            head_mask=head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            cache_position=cache_position,
            return_dict=True,
        )
        logits_BLV = self.proj_out(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits_BLV.flatten(0, 1), labels.to(logits_BLV.device).flatten())
        return CausalLMOutputWithCrossAttentions(
            loss=loss,
            logits=logits_BLV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            cross_attentions=outputs.cross_attentions,
        )


class WhisperForAudioClassification(WhisperPreTrainedModel):
    """The encoder with a classifier over the mean of its projected states."""

    allow_missing = ("projector.*", "classifier.*", "layer_weights")  # a new head on a published checkpoint
    ignore_unexpected = ("model.decoder.*", "decoder.*", "proj_out.*")

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.encoder = WhisperEncoder(config)
        if config.use_weighted_layer_sum:
            layers = config.encoder_layers + 1  # and the input of the first
            self.layer_weights = nn.Parameter(torch.ones(layers) / layers)
        self.projector = nn.Linear(config.d_model, config.classifier_proj_size)
        self.classifier = nn.Linear(config.classifier_proj_size, config.num_labels)
        self.post_init()

    def get_encoder(self) -> WhisperEncoder:
        """The encoder."""
        return self.encoder

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the first convolution."""
        self.encoder.set_input_embeddings(value)

    @model_forward
    def forward(
        self,
        input_features: Tensor | None = None,
        head_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> SequenceClassifierOutput:
        """Logits (B, labels) of features (B, F, S); `labels` (B,) give the cross-entropy, the mean over the batch.

        Raises:
            ValueError: neither features nor encoder outputs, or a weighted layer sum without hidden states.
        """
        weighted = self.config.use_weighted_layer_sum
        if encoder_outputs is None:
            if input_features is None:
                raise ValueError("Pass input_features (from the processor) or encoder_outputs.")
            encoder_outputs = self.encoder(
                input_features,
                head_mask=head_mask,
                output_attentions=output_attentions,
                output_hidden_states=output_hidden_states or weighted,
                return_dict=True,
            )
        elif not isinstance(encoder_outputs, BaseModelOutput):
            fields = ("last_hidden_state", "hidden_states", "attentions")
            encoder_outputs = BaseModelOutput(**dict(zip(fields, encoder_outputs, strict=False)))
        hidden_BTC = encoder_outputs.last_hidden_state
        if weighted:
            if encoder_outputs.hidden_states is None:
                raise ValueError("use_weighted_layer_sum needs encoder_outputs with hidden states of all layers.")
            states_BNTC = torch.stack(encoder_outputs.hidden_states, dim=1)
            hidden_BTC = (states_BNTC * self.layer_weights.softmax(-1).view(-1, 1, 1)).sum(dim=1)
        logits = self.classifier(self.projector(hidden_BTC).mean(dim=1))
        loss = None if labels is None else F.cross_entropy(logits, labels.to(logits.device).flatten())
        return SequenceClassifierOutput(
            loss=loss,
            logits=logits,
            hidden_states=encoder_outputs.hidden_states if output_hidden_states else None,
            attentions=encoder_outputs.attentions,
        )
