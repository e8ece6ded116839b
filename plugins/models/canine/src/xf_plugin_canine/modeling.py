"""CANINE (arXiv:2103.06874) and its heads: an encoder of code points, without a vocabulary.

Shapes: B batch, T characters, M molecules (T // downsampling_rate), H heads, C width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.mask import create_bidirectional_mask
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import ModelOutput
from xf_blocks.encoder_heads import (
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
)
from xf_blocks.encoder_inputs import check_text
from xf_blocks.text_encoder import TextEncoder, TextPooler

from .configuration import CanineConfig
from .layers import CanineEmbeddings, CharactersToMolecules, ConvProjection, LocalEncoder, ShallowEncoder


class CaninePreTrainedModel(PreTrainedModel):
    """What all CANINE models declare."""

    config_class = CanineConfig
    base_model_prefix = "canine"
    ignore_unexpected = ("*char_embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold


@dataclass(repr=False)
class CanineModelOutputWithPooling(ModelOutput):
    """last_hidden_state (B, T, C); pooler_output (B, C), of the first molecule.

    hidden_states, attentions: of the first character encoder, the molecules, and the last character encoder, (B, T, C)
    and (B, H, T, T), or with M for T.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class CanineModel(CaninePreTrainedModel):
    """The encoder, with a pooler unless add_pooling_layer=False."""

    def __init__(self, config: CanineConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.char_embeddings = CanineEmbeddings(config)
        self.initial_char_encoder = LocalEncoder(config)
        self.chars_to_molecules = CharactersToMolecules(config)
        self.encoder = TextEncoder(config)
        self.projection = ConvProjection(config)
        self.final_char_encoder = ShallowEncoder(config)
        self.pooler = TextPooler(config) if add_pooling_layer else None
        self._prune_heads(config.pruned_heads)
        self.post_init()

    def _prune_heads(self, heads_to_prune: dict[int, list[int]]) -> None:
        for layer, heads in heads_to_prune.items():
            self.encoder.layer[layer].attention.prune_heads(heads)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> CanineModelOutputWithPooling:
        """input_ids (B, T), code points, or inputs_embeds (B, T, C); attention_mask (B, T) with 0 at padding.

        head_mask (H,) or (L, H): 1 to keep a head of the molecules' layers.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, for a text that is too long or
        shorter than a molecule, and for a mask of another shape.
        """
        check_text(self, input_ids, inputs_embeds, attention_mask)
        x_BTC = self.char_embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        is_token_BT = self.is_token(x_BTC, attention_mask)
        asked = {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states}
        first = self.initial_char_encoder(x_BTC, is_token_BT, **asked)
        molecules_BMC = self.chars_to_molecules(first.last_hidden_state)
        heads = None if head_mask is None else self.get_head_mask(head_mask, self.config.num_hidden_layers)
        deep = self.encoder(molecules_BMC, self.molecule_mask(molecules_BMC, is_token_BT), heads, **asked)
        repeated_BTC = self.repeat(deep.last_hidden_state, x_BTC.shape[1])
        joined_BTC = self.projection(torch.cat((first.last_hidden_state, repeated_BTC), -1))
        mask = create_bidirectional_mask(self.config, joined_BTC, is_token_BT)
        last = self.final_char_encoder(joined_BTC, mask, **asked)
        parts = (first, deep, last)
        return CanineModelOutputWithPooling(
            last_hidden_state=last.last_hidden_state,
            pooler_output=None if self.pooler is None else self.pooler(deep.last_hidden_state),
            hidden_states=sum((part.hidden_states for part in parts), ()) if output_hidden_states else None,
            attentions=sum((part.attentions for part in parts), ()) if output_attentions else None,
        )

    def is_token(self, x_BTC: Tensor, attention_mask: Tensor | None) -> Tensor | None:
        """(B, T), None where all are."""
        length, rate = x_BTC.shape[1], self.config.downsampling_rate
        if length < rate:
            raise ValueError(f"CANINE reads {rate} characters as one: a text of {length} must be padded.")
        if attention_mask is None:
            return None
        if attention_mask.shape != x_BTC.shape[:2]:
            shape = tuple(x_BTC.shape[:2])
            raise ValueError(f"attention_mask has shape {tuple(attention_mask.shape)}; give {shape}.")
        return None if bool(attention_mask.all()) else attention_mask.bool()

    def molecule_mask(self, molecules_BMC: Tensor, is_token_BT: Tensor | None) -> Any:
        """A molecule is seen if any of its characters is."""
        if is_token_BT is None:
            return None
        rate, count = self.config.downsampling_rate, molecules_BMC.shape[1]
        seen_BM = is_token_BT[:, : count * rate].unflatten(1, (count, rate)).any(-1)
        return create_bidirectional_mask(self.config, molecules_BMC, seen_BM)

    def repeat(self, molecules_BMC: Tensor, length: int) -> Tensor:
        """(B, M, C) -> (B, T, C): each but the first, which was a character, as often as it has characters.

        The last one goes on to the end of the text.
        """
        rate = self.config.downsampling_rate
        repeated_BTC = molecules_BMC[:, 1:].repeat_interleave(rate, dim=1)
        rest = molecules_BMC[:, -1:].expand(-1, length - repeated_BTC.shape[1], -1)
        return torch.cat((repeated_BTC, rest), 1)


class CanineForSequenceClassification(EncoderForSequenceClassification, CaninePreTrainedModel):
    """Classifies a text by its pooled first molecule."""

    body_class = CanineModel


class CanineForMultipleChoice(EncoderForMultipleChoice, CaninePreTrainedModel):
    """Scores each of several continuations."""

    body_class = CanineModel


class CanineForTokenClassification(EncoderForTokenClassification, CaninePreTrainedModel):
    """Classifies each character."""

    body_class = CanineModel
    needs_pooler = True  # not read, but in the files


class CanineForQuestionAnswering(EncoderForQuestionAnswering, CaninePreTrainedModel):
    """Marks the span of an answer."""

    body_class = CanineModel
    needs_pooler = True  # not read, but in the files
