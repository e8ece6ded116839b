"""The parts of ESM (doi 10.1126/science.ade2574): embeddings with token dropout, rotary attention, contacts.

Shapes: B batch, T tokens, L layers, H heads, D head width, R residues (tokens between the first and the last), C width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xf_blocks.attention_bias import mask_with_bias
from xf_blocks.rotary import Rotation, rotate
from xf_blocks.text_attention import RelativeKeyQuerySelfAttention, TextSelfAttention, self_attention_class
from xf_blocks.text_prenorm import PreNormEncoder, PreNormLayer
from xf_blocks.text_roberta import OffsetPositions

from .configuration import EsmConfig

_MASKED_IN_TRAINING = 0.15 * 0.8  # 15 % of the tokens were chosen, 80 % of those masked (arXiv:1810.04805)
_EOS = 2  # of the published vocabulary, which predictions of contacts are made with


class EsmEmbeddings(OffsetPositions):
    """Words (+ positions) (and a norm); padding is zero."""

    def __init__(self, config: EsmConfig) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise ValueError("EsmConfig has no vocab_size: give it, 33 for the published vocabulary.")
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.normed = bool(config.emb_layer_norm_before)
        if self.normed:
            self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.padding_idx = config.pad_token_id
        self.has_positions = config.position_embedding_type == "absolute"
        if self.has_positions:
            self.position_embeddings = nn.Embedding(
                config.max_position_embeddings, config.hidden_size, padding_idx=config.pad_token_id
            )
        self.token_dropout, self.mask_token_id = config.token_dropout, config.mask_token_id

    def forward(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> Tensor:
        """input_ids (B, T) or inputs_embeds (B, T, C) -> (B, T, C)."""
        x_BTC = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        is_text = attention_mask is not None and attention_mask.ndim == 2
        if self.token_dropout and input_ids is not None:
            x_BTC = self.drop_tokens(x_BTC, input_ids, attention_mask if is_text else None)
        if self.has_positions:
            if position_ids is None:
                position_ids = self.position_ids(input_ids, inputs_embeds, 0)
            x_BTC = x_BTC + self.position_embeddings(position_ids)
        if self.normed:
            x_BTC = self.layer_norm(x_BTC)
        if is_text and attention_mask is not None:
            x_BTC = x_BTC * attention_mask[..., None].to(x_BTC.dtype)
        return x_BTC

    def drop_tokens(self, x_BTC: Tensor, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Masked tokens become zero; what is left is scaled to the share that was left in training."""
        masked_BT = input_ids == self.mask_token_id
        length_B = input_ids.shape[1] if attention_mask is None else attention_mask.sum(-1)
        share_B = masked_BT.sum(-1).float() / length_B
        scale_B = (1 - _MASKED_IN_TRAINING) / (1 - share_B)
        return (x_BTC.masked_fill(masked_BT[..., None], 0.0) * scale_B[:, None, None]).to(x_BTC.dtype)


class EsmRotary(nn.Module):
    """The angles of rotary positions (arXiv:2104.09864), which are in the files."""

    inv_freq: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        powers = torch.arange(0, width, 2, dtype=torch.int64).float() / width
        self.register_buffer("inv_freq", 1.0 / 10000**powers)

    def forward(self, length: int, like: Tensor) -> Rotation:
        """cos and signed sin (1, 1, T, D) of the first positions."""
        angles = torch.arange(length, device=like.device, dtype=torch.float32)[:, None] * self.inv_freq.float()
        cos, sin = angles.cos().to(like.dtype), angles.sin().to(like.dtype)
        return torch.cat((cos, cos), -1)[None, None], torch.cat((-sin, sin), -1)[None, None]


class RotarySelfAttention(TextSelfAttention):
    """Self-attention with rotated queries and keys."""

    def __init__(self, config: EsmConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.rotary_embeddings = EsmRotary(self.attention_head_size)

    def forward(
        self,
        x_BTC: Tensor,
        attention_mask: Any = None,
        head_mask: Tensor | None = None,
        past_key_values: Any = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and, where asked or the kernel gives them, the weights (B, H, T, T)."""
        q_BHTD, k_BHTD, v_BHTD = (self.heads(layer(x_BTC)) for layer in (self.query, self.key, self.value))
        rotation = self.rotary_embeddings(x_BTC.shape[1], q_BHTD)
        options = {} if head_mask is None else {"head_mask": head_mask}
        out_BTHD, weights = self.attend(
            rotate(q_BHTD, rotation), rotate(k_BHTD, rotation), v_BHTD, attention_mask, output_attentions, **options
        )
        return out_BTHD.flatten(2), weights


class KeyQuerySelfAttention(RelativeKeyQuerySelfAttention):
    """Here the term of the key is not scaled, as published results have it."""

    def mask(self, q_BHTD: Tensor, k_BHKD: Tensor, attention_mask: Any) -> Any:
        vectors_TKD = self.distances(q_BHTD.shape[2], k_BHKD.shape[2], q_BHTD.dtype)
        by_query = torch.einsum("bhtd,tkd->bhtk", q_BHTD, vectors_TKD) * self.bias_scaling
        return mask_with_bias(attention_mask, by_query + torch.einsum("bhkd,tkd->bhtk", k_BHKD, vectors_TKD), False)


class EsmLayer(PreNormLayer):
    """A layer with the norms before, whose attention can be rotary."""

    @staticmethod
    def attention_class(config: EsmConfig) -> type[TextSelfAttention]:
        own = {"rotary": RotarySelfAttention, "relative_key_query": KeyQuerySelfAttention}
        return own.get(config.position_embedding_type or "") or self_attention_class(config)


class EsmEncoder(PreNormEncoder):
    """The layers and the norm after them."""

    layer_class = EsmLayer
    norm_name = "emb_layer_norm_after"


class EsmContactPredictionHead(nn.Module):
    """How likely two residues touch, from the symmetric attention of all heads (doi 10.1101/2020.12.15.422761)."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.regression = nn.Linear(in_features, 1)

    def forward(self, tokens: Tensor, weights_BLHTT: Tensor) -> Tensor:
        """tokens (B, T), weights (B, L, H, T, T) -> (B, R, R)."""
        inner_BT = (tokens != _EOS).to(weights_BLHTT.dtype)
        weights = weights_BLHTT * (inner_BT[:, None, :] * inner_BT[:, :, None])[:, None, None]
        weights_BNRR = weights[..., 1:-1, 1:-1].flatten(1, 2)
        weights_BNRR = weights_BNRR + weights_BNRR.transpose(-1, -2)
        by_row, by_column = weights_BNRR.sum(-1, keepdim=True), weights_BNRR.sum(-2, keepdim=True)
        expected = by_row * by_column / weights_BNRR.sum((-1, -2), keepdim=True)  # average product correction
        return self.regression((weights_BNRR - expected).permute(0, 2, 3, 1)).squeeze(-1).sigmoid()
