"""The parts of CANINE (arXiv:2103.06874): hashed characters, local attention, characters to molecules and back.

Shapes: B batch, T characters, M molecules, S characters of a block, N blocks, H heads, C width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf_blocks.activations import get_activation
from xf_blocks.encoder_inputs import check_length
from xf_blocks.text_attention import TextAttentionBlock, TextSelfAttention
from xf_blocks.text_encoder import TextEncoder, TextEncoderLayer

from .configuration import CanineConfig

# One multiplier for each hash function, as in github.com/google-research/language/tree/master/language/canine
PRIMES = (31, 43, 59, 61, 73, 97, 103, 113, 137, 149, 157, 173, 181, 193, 211, 223)


class CanineEmbeddings(nn.Module):
    """Hashed code points + segments + positions, then LayerNorm and dropout.

    Raises: ValueError for hash functions that are too many, or do not divide the width.
    """

    def __init__(self, config: CanineConfig) -> None:
        super().__init__()
        count, width = config.num_hash_functions, config.hidden_size
        if count > len(PRIMES) or width % count:
            raise ValueError(
                f"num_hash_functions is {count}: it can be at most {len(PRIMES)} and must divide hidden_size ({width})."
            )
        self.primes, self.buckets = PRIMES[:count], config.num_hash_buckets
        for index in range(count):
            setattr(self, f"HashBucketCodepointEmbedder_{index}", nn.Embedding(self.buckets, width // count))
        self.char_position_embeddings = nn.Embedding(self.buckets, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.max_positions = min(config.max_position_embeddings, self.buckets)

    def characters(self, input_ids: Tensor) -> Tensor:
        """(B, T) code points -> (B, T, C): of each hash function a part."""
        parts = [
            getattr(self, f"HashBucketCodepointEmbedder_{index}")((input_ids + 1) * prime % self.buckets)
            for index, prime in enumerate(self.primes)
        ]
        return torch.cat(parts, -1)

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> Tensor:
        """input_ids (B, T) or inputs_embeds (B, T, C) -> (B, T, C)."""
        x_BTC = inputs_embeds if input_ids is None else self.characters(input_ids)
        assert x_BTC is not None, "one of the two is given"
        types = self.token_type_embeddings.weight[0] if token_type_ids is None else None
        x_BTC = x_BTC + (self.token_type_embeddings(token_type_ids) if types is None else types)
        if position_ids is None:
            check_length(x_BTC.shape[1], self.max_positions)
            position_ids = torch.arange(x_BTC.shape[1], device=x_BTC.device)[None]
        return self.dropout(self.LayerNorm(x_BTC + self.char_position_embeddings(position_ids)))


class LocalSelfAttention(TextSelfAttention):
    """Attention within blocks of config.local_transformer_stride characters."""

    def __init__(self, config: CanineConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.stride = config.local_transformer_stride

    def forward(  # type: ignore[override]
        self,
        x_BTC: Tensor,
        is_token_BT: Tensor | None = None,
        head_mask: Tensor | None = None,
        past_key_values: Any = None,
        cache_position: Any = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """is_token_BT: False at padding, None without. Weights (B, H, T, T), zero outside of the blocks."""
        batch, length, _ = x_BTC.shape
        size = min(self.stride, length)
        extra = -length % size
        blocks = F.pad(x_BTC, (0, 0, 0, extra)).reshape(-1, size, x_BTC.shape[-1])
        mask = None
        if is_token_BT is not None or extra:
            mask_BT = x_BTC.new_zeros(batch, length)
            if is_token_BT is not None:
                mask_BT = mask_BT.masked_fill(~is_token_BT, torch.finfo(x_BTC.dtype).min)
            # what only fills the last block is nothing, even to a block of padding
            mask = F.pad(mask_BT, (0, extra), value=-torch.inf).reshape(-1, 1, 1, size)
        out, weights = super().forward(blocks, mask, head_mask, output_attentions=output_attentions)
        out_BTC = out.reshape(batch, length + extra, -1)[:, :length]
        if not output_attentions or weights is None:
            return out_BTC, None
        weights_BNHSS = weights.unflatten(0, (batch, -1))
        joined = torch.stack(
            [torch.stack([torch.block_diag(*head) for head in x.transpose(0, 1)]) for x in weights_BNHSS]
        )
        return out_BTC, joined[..., :length, :length]


class LocalLayer(TextEncoderLayer):
    """BERT's layer with local attention."""

    def __init__(self, config: CanineConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.attention = TextAttentionBlock(config, layer_idx, LocalSelfAttention)


class ShallowEncoder(TextEncoder):
    """One of BERT's layers."""

    def __init__(self, config: CanineConfig) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.layer = nn.ModuleList([self.layer_class(config, 0)])


class LocalEncoder(ShallowEncoder):
    """One layer with local attention."""

    layer_class = LocalLayer


class CharactersToMolecules(nn.Module):
    """Every `rate` characters one molecule; the first character takes the place of the first molecule."""

    def __init__(self, config: CanineConfig) -> None:
        super().__init__()
        rate = config.downsampling_rate
        self.conv = nn.Conv1d(config.hidden_size, config.hidden_size, kernel_size=rate, stride=rate)
        self.activation = get_activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, M, C); the last molecule makes room for the first character."""
        molecules_BMC = self.activation(self.conv(x_BTC.transpose(1, 2))).transpose(1, 2)
        return self.LayerNorm(torch.cat((x_BTC[:, :1], molecules_BMC[:, :-1]), 1))


class ConvProjection(nn.Module):
    """Characters beside their molecules, (B, T, 2 C), to (B, T, C)."""

    def __init__(self, config: CanineConfig) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2 * config.hidden_size, config.hidden_size, kernel_size=config.upsampling_kernel_size)
        self.activation = get_activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        total = config.upsampling_kernel_size - 1
        self.padding = (total // 2, total - total // 2)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, 2 C) -> (B, T, C)."""
        x_BCT = self.conv(F.pad(x_BTC.transpose(1, 2), self.padding))
        return self.dropout(self.LayerNorm(self.activation(x_BCT).transpose(1, 2)))
