"""ESM-1b and ESM-2, encoders of proteins (doi 10.1073/pnas.2016239118, doi 10.1126/science.ade2574), and their heads.

Shapes: B batch, T tokens, V vocabulary, L layers, H heads, R residues, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.mask import create_bidirectional_mask
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import BaseModelOutputWithPooling
from xf_blocks.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
)
from xf_blocks.encoder_inputs import check_text
from xf_blocks.text_encoder import TextPooler
from xf_blocks.text_roberta import ClassificationHead

from .configuration import EsmConfig
from .layers import EsmContactPredictionHead, EsmEmbeddings, EsmEncoder


class EsmPreTrainedModel(PreTrainedModel):
    """What all ESM models declare."""

    config_class = EsmConfig
    base_model_prefix = "esm"
    # what published files hold besides: positions that rotary models do not read
    ignore_unexpected: ClassVar = ("*embeddings.position_ids", "*embeddings.position_embeddings.weight")

    @classmethod
    def needs_of(cls, config: Any) -> AttentionNeeds:
        return AttentionNeeds(additive_bias="relative" in (config.position_embedding_type or ""))


class EsmModel(EsmPreTrainedModel):
    """The encoder, with a pooler unless add_pooling_layer=False."""

    allow_missing: ClassVar = ("pooler.*", "contact_head.*")  # models trained on masked tokens alone have none

    def __init__(self, config: EsmConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        if config.is_decoder:
            raise ValueError("ESM is an encoder here: is_decoder=True is not supported.")
        self.embeddings = EsmEmbeddings(config)
        self.encoder = EsmEncoder(config)
        self.pooler = TextPooler(config) if add_pooling_layer else None
        self.contact_head = EsmContactPredictionHead(config.num_hidden_layers * config.num_attention_heads)
        self._prune_heads(config.pruned_heads)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    def _prune_heads(self, heads_to_prune: dict[int, list[int]]) -> None:
        for layer, heads in heads_to_prune.items():
            self.encoder.layer[layer].attention.prune_heads(heads)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithPooling:
        """input_ids (B, T) or inputs_embeds (B, T, C); attention_mask (B, T) with 0 at padding, or 3D, or 4D.

        head_mask (H,) or (L, H): 1 to keep a head.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, and for a text that is too long.
        """
        check_text(self, input_ids, inputs_embeds, attention_mask)
        x_BTC = self.embeddings(input_ids, attention_mask, position_ids, inputs_embeds)
        output = self.encoder(
            x_BTC,
            create_bidirectional_mask(self.config, x_BTC, attention_mask),
            None if head_mask is None else self.get_head_mask(head_mask, self.config.num_hidden_layers),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        return BaseModelOutputWithPooling(
            last_hidden_state=output.last_hidden_state,
            pooler_output=None if self.pooler is None else self.pooler(output.last_hidden_state),
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    def predict_contacts(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """How likely two residues touch, (B, R, R): tokens (B, T) and mask (B, T) with the first and the last token."""
        weights = self(tokens, attention_mask=attention_mask, output_attentions=True, return_dict=True).attentions
        mask_BT = attention_mask.to(weights[0].dtype)
        pairs = (mask_BT[:, None, :] * mask_BT[:, :, None])[:, None, None]
        return self.contact_head(tokens, torch.stack(weights, 1) * pairs)


class EsmLMHead(nn.Module):
    """Vocabulary scores: decoder(layer_norm(gelu(dense(x)))) + bias."""

    def __init__(self, config: EsmConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        assert config.vocab_size is not None, "the embeddings were built from it"
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        return self.decoder(self.layer_norm(F.gelu(self.dense(x_BTC)))) + self.bias


class EsmForMaskedLM(EncoderForMaskedLM, EsmPreTrainedModel):
    """Vocabulary scores for every place of a protein."""

    body_class = EsmModel
    tied_weights: ClassVar = {"lm_head.decoder.weight": "esm.embeddings.word_embeddings.weight"}

    def build_head(self, config: EsmConfig) -> None:
        self.lm_head = EsmLMHead(config)

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        return self.lm_head(x_BTC)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.lm_head.decoder = new_embeddings

    def _resize_extra(self, size: int, mean_resizing: bool) -> None:
        self.lm_head.bias = self._resized(self.lm_head.bias, size, mean_resizing)

    def predict_contacts(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """As `EsmModel.predict_contacts`."""
        return self.esm.predict_contacts(tokens, attention_mask)


class EsmForSequenceClassification(EncoderForSequenceClassification, EsmPreTrainedModel):
    """Classifies a protein by the state of its first token."""

    body_class = EsmModel
    needs_pooler = False

    def build_head(self, config: EsmConfig) -> None:
        self.classifier = ClassificationHead(config)

    def classify(self, outputs: Any) -> Tensor:
        return self.classifier(outputs.last_hidden_state)


class EsmForTokenClassification(EncoderForTokenClassification, EsmPreTrainedModel):
    """Classifies each residue."""

    body_class = EsmModel
