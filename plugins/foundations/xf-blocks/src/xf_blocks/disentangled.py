"""Encoders of the DeBERTa kind (arXiv:2006.03654): positions act in the attention scores, not (only) in the embeddings.

A family gives its self-attention and the distances it counts by; the body is here, the heads in `disentangled_heads`.

Shapes: B batch, T tokens, H heads, D head width, P distances, E width of embeddings, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule, AttentionNeeds
from xf.interfaces.mask import to_additive
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel, model_forward
from xf.outputs import BaseModelOutput

from .encoder_inputs import check_length, check_text
from .recorder import Recorder
from .text_encoder import ResidualOutput, TextIntermediate


def position_terms(config: Any) -> tuple[bool, bool]:
    """(content to position, position to content): which of the two config.pos_att_type names."""
    kinds = config.pos_att_type or []
    return "c2p" in kinds, "p2c" in kinds


class DisentangledEmbeddings(nn.Module):
    """Words, and where the config has them positions and segments; projected, normed; padding is zero."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = getattr(config, "embedding_size", config.hidden_size)
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id or 0)
        self.position_biased_input = config.position_biased_input
        if config.position_biased_input:
            self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.has_types = config.type_vocab_size > 0
        if self.has_types:
            self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.projects = width != config.hidden_size
        if self.projects:
            self.embed_proj = nn.Linear(width, config.hidden_size, bias=False)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        is_token_BT: Tensor | None,
    ) -> Tensor:
        """input_ids (B, T) or inputs_embeds (B, T, E) -> (B, T, C), zero where is_token_BT is False.

        Raises: ValueError for more tokens than there are positions.
        """
        x_BTE = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if self.position_biased_input:
            if position_ids is None:
                check_length(x_BTE.shape[1], self.position_embeddings.num_embeddings)
                position_ids = torch.arange(x_BTE.shape[1], device=x_BTE.device)[None]
            x_BTE = x_BTE + self.position_embeddings(position_ids)
        if self.has_types:
            if token_type_ids is None:
                x_BTE = x_BTE + self.token_type_embeddings.weight[0]
            else:
                x_BTE = x_BTE + self.token_type_embeddings(token_type_ids)
        x_BTC = self.LayerNorm(self.embed_proj(x_BTE) if self.projects else x_BTE)
        if is_token_BT is not None:
            x_BTC = x_BTC * is_token_BT[..., None].to(x_BTC.dtype)
        return self.dropout(x_BTC)


class DisentangledSelfAttention(AttentionModule):
    """Scores of content with content, plus those with positions as a bias: a family makes both."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if config.hidden_size % config.num_attention_heads:
            raise ValueError(
                f"hidden_size ({config.hidden_size}) must be a multiple of num_attention_heads "
                f"({config.num_attention_heads})."
            )
        self.num_attention_heads = config.num_attention_heads
        self.head_size = config.hidden_size // config.num_attention_heads
        self.c2p, self.p2c = position_terms(config)
        self.relative_attention = config.relative_attention
        # arXiv:2006.03654, equation 4: the scores are a sum of up to three terms
        self.scaling = (self.head_size * (1 + self.c2p + self.p2c)) ** -0.5
        self.attention_dropout = config.attention_probs_dropout_prob
        self.pos_dropout = nn.Dropout(config.hidden_dropout_prob)

    def heads(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, H, T, D)."""
        return x_BTC.view(*x_BTC.shape[:-1], self.num_attention_heads, self.head_size).transpose(-2, -3)

    def content(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, (B, H, T, D) each."""
        raise NotImplementedError

    def positions(self, vectors_PC: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Keys and queries of the distances, (H, P, D) each, where the config has them."""
        raise NotImplementedError

    def bias(self, q_BHTD: Tensor, k_BHTD: Tensor, vectors_PC: Tensor, distance_TT: Tensor) -> Tensor:
        """(B, H, T, T): content with position, and position with content."""
        key_HPD, query_HPD = self.positions(self.pos_dropout(vectors_PC))
        index_BHTT = distance_TT.expand(*q_BHTD.shape[:2], -1, -1)
        terms = []
        if key_HPD is not None:
            terms.append(torch.gather(q_BHTD @ key_HPD.transpose(-1, -2), -1, index_BHTT))
        if query_HPD is not None:  # the distance of query i from key j, looked up in row j
            by_key = torch.gather(k_BHTD @ query_HPD.transpose(-1, -2), -1, index_BHTT.transpose(-1, -2))
            terms.append(by_key.transpose(-1, -2))
        return sum(terms[1:], terms[0]) * self.scaling

    def forward(
        self,
        x_BTC: Tensor,
        mask: Tensor | None,
        blind_B1T1: Tensor | None,
        vectors_PC: Tensor | None,
        distance_TT: Tensor | None,
        output_attentions: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """mask, blind_B1T1: see `pair_mask`. vectors_PC, distance_TT: of positions, and which of them each pair has."""
        q_BHTD, k_BHTD, v_BHTD = self.content(x_BTC)
        if blind_B1T1 is not None:  # what sees nothing takes the mean of all values, and no gradient goes to its query
            q_BHTD = q_BHTD.masked_fill(blind_B1T1, 0)
        if self.relative_attention and (self.c2p or self.p2c):
            assert vectors_PC is not None and distance_TT is not None, "the encoder gives both"
            bias_BHTT = self.bias(q_BHTD, k_BHTD, vectors_PC, distance_TT)
            # the bias is dropped where the mask forbids, so that rows which see nothing agree in all backends
            mask = bias_BHTT if mask is None else torch.where(mask == 0, bias_BHTT, mask)
        out_BTHD, weights = self.attend(q_BHTD, k_BHTD, v_BHTD, mask, output_attentions)
        return out_BTHD.flatten(2), weights


class AttentionBlock(nn.Module):
    """The family's attention under the name `self`, and the residual output."""

    def __init__(self, config: Any, attention_class: type[DisentangledSelfAttention]) -> None:
        super().__init__()
        self.self = attention_class(config)
        self.output = ResidualOutput(config, config.hidden_size)

    def forward(self, x_BTC: Tensor, *args: Any) -> tuple[Tensor, Tensor | None]:
        """As the attention's forward."""
        attended_BTC, weights = self.self(x_BTC, *args)
        return self.output(attended_BTC, x_BTC), weights


class DisentangledLayer(GradientCheckpointingLayer):
    """Self-attention and feed-forward; each LayerNorm(x + f(x))."""

    def __init__(self, config: Any, attention_class: type[DisentangledSelfAttention]) -> None:
        super().__init__()
        self.attention = AttentionBlock(config, attention_class)
        self.intermediate = TextIntermediate(config)
        self.output = ResidualOutput(config, config.intermediate_size)

    def forward(self, x_BTC: Tensor, *args: Any) -> tuple[Tensor, Tensor | None]:
        """States (B, T, C) and weights (B, H, T, T), where asked."""
        x_BTC, weights = self.attention(x_BTC, *args)
        return self.output(self.intermediate(x_BTC), x_BTC), weights


class DisentangledEncoder(nn.Module):
    """The layers, and the vectors of the distances that they share."""

    attention_class: ClassVar[type[DisentangledSelfAttention]]

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            [DisentangledLayer(config, self.attention_class) for _ in range(config.num_hidden_layers)]
        )
        self.relative_attention = config.relative_attention
        if config.relative_attention:
            given = config.max_relative_positions
            self.max_relative_positions = config.max_position_embeddings if given < 1 else given

    def distances(self, length: int, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        """(vectors (P, C), which of them each pair of query and key has (T, T)); None without relative attention."""
        raise NotImplementedError

    def after_layer(self, index: int, x_BTC: Tensor, first_BTC: Tensor, is_token_BT: Tensor | None) -> Tensor:
        """The states after layer `index`; first_BTC: the embeddings."""
        return x_BTC

    def forward(
        self,
        x_BTC: Tensor,
        mask: Tensor | None,
        blind_B1T1: Tensor | None,
        is_token_BT: Tensor | None,
        seen: Recorder,
        output_attentions: bool,
    ) -> Tensor:
        """(B, T, C) -> (B, T, C); `seen` collects states and weights."""
        vectors_PC, distance_TT = self.distances(x_BTC.shape[1], x_BTC.device)
        first_BTC = x_BTC
        for index, layer in enumerate(self.layer):
            seen.state(x_BTC)
            x_BTC, weights = layer(x_BTC, mask, blind_B1T1, vectors_PC, distance_TT, output_attentions)
            x_BTC = self.after_layer(index, x_BTC, first_BTC, is_token_BT)
            seen.weights(weights)
        seen.state(x_BTC)
        return x_BTC


class DisentangledModel(PreTrainedModel):
    """Embeddings and encoder."""

    encoder_class: ClassVar[type[DisentangledEncoder]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = DisentangledEmbeddings(config)
        self.encoder = self.encoder_class(config)
        self.post_init()

    @classmethod
    def needs_of(cls, config: Any) -> AttentionNeeds:
        return AttentionNeeds(additive_bias=bool(config.relative_attention))

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        """input_ids (B, T) or inputs_embeds (B, T, E); attention_mask (B, T) with 0 at padding, or (B, T, T).

        token_type_ids (B, T): the segment of each token, where config.type_vocab_size is not 0.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, and for a text that is too long.
        """
        check_text(self, input_ids, inputs_embeds, attention_mask)
        is_token_BT = None
        if attention_mask is not None and attention_mask.ndim == 2 and not bool(attention_mask.all()):
            is_token_BT = attention_mask.bool()
        x_BTC = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds, is_token_BT)
        seen = Recorder(output_hidden_states, output_attentions)
        mask, blind_B1T1 = pair_mask(attention_mask, is_token_BT, x_BTC)
        x_BTC = self.encoder(x_BTC, mask, blind_B1T1, is_token_BT, seen, output_attentions)
        return BaseModelOutput(last_hidden_state=x_BTC, hidden_states=seen.hidden_states, attentions=seen.attentions)


def pair_mask(
    attention_mask: Tensor | None, is_token_BT: Tensor | None, x_BTC: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """(additive mask (B, 1, T, T), which queries see nothing (B, 1, T, 1)); None where all see all.

    Tokens see tokens; padding sees nothing.
    Raises: ValueError for a mask of other dimensions or another length.
    """
    length = x_BTC.shape[1]
    if attention_mask is not None and (attention_mask.ndim not in (2, 3) or attention_mask.shape[-1] != length):
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}: give (batch, {length}) with 1 at real tokens and "
            f"0 at padding, or (batch, {length}, {length})."
        )
    if is_token_BT is not None:
        allowed = (is_token_BT[:, None, :] & is_token_BT[:, :, None])[:, None]
    elif attention_mask is not None and attention_mask.ndim == 3:
        allowed = attention_mask.bool()[:, None]
    else:
        return None, None
    return to_additive(allowed, x_BTC.dtype), ~allowed.any(-1, keepdim=True)
