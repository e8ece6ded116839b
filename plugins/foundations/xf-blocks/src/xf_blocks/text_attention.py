"""Attention of text encoders in the layout of BERT (arXiv:1810.04805), which many families share.

Shapes: B batch, H heads, D head width, T tokens, K keys, C width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf.interfaces.cache import Cache, EncoderDecoderCache

from .attention_bias import mask_with_bias
from .pytorch_utils import find_pruneable_heads_and_indices, prune_linear_layer


class TextSelfAttention(AttentionModule):
    """query, key, value; causal and with a cache where config.is_decoder."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config)
        heads = config.num_attention_heads
        if config.hidden_size % heads:
            raise ValueError(f"hidden_size ({config.hidden_size}) must be a multiple of num_attention_heads ({heads}).")
        self.layer_idx = layer_idx
        self.num_attention_heads = heads
        self.attention_head_size = config.hidden_size // heads
        self.is_causal = config.is_decoder
        self.scaling = self.attention_head_size**-0.5
        self.attention_dropout = config.attention_probs_dropout_prob
        width = heads * self.attention_head_size
        self.query = nn.Linear(config.hidden_size, width)
        self.key = nn.Linear(config.hidden_size, width)
        self.value = nn.Linear(config.hidden_size, width)

    def heads(self, x_BTC: Tensor) -> Tensor:
        """(B, T, H * D) -> (B, H, T, D)."""
        return x_BTC.view(*x_BTC.shape[:2], -1, self.attention_head_size).transpose(1, 2)

    def mask(self, q_BHTD: Tensor, k_BHKD: Tensor, attention_mask: Any) -> Any:
        """The mask that the kernel gets; subclasses add position biases."""
        return attention_mask

    def forward(
        self,
        x_BTC: Tensor,
        attention_mask: Any = None,
        head_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and, where asked or the kernel gives them, the weights (B, H, T, K)."""
        q_BHTD = self.heads(self.query(x_BTC))
        k_BHKD, v_BHKD = self.heads(self.key(x_BTC)), self.heads(self.value(x_BTC))
        if past_key_values is not None:
            where = None if cache_position is None else {"cache_position": cache_position}
            k_BHKD, v_BHKD = past_key_values.update(k_BHKD, v_BHKD, self.layer_idx, where)
        mask = self.mask(q_BHTD, k_BHKD, attention_mask)
        options = {} if head_mask is None else {"head_mask": head_mask}
        out_BTHD, weights = self.attend(q_BHTD, k_BHKD, v_BHKD, mask, output_attentions, **options)
        return out_BTHD.flatten(2), weights


class RelativeKeySelfAttention(TextSelfAttention):
    """Adds to each score a learned vector for the distance times the query (arXiv:1803.02155, equation 4)."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.max_position_embeddings = config.max_position_embeddings
        self.bias_scaling = self.scaling
        self.distance_embedding = nn.Embedding(2 * config.max_position_embeddings - 1, self.attention_head_size)

    def distances(self, queries: int, keys: int, dtype: torch.dtype) -> Tensor:
        """(T, K, D): the vectors of all distances; the queries are the last of the keys' positions."""
        device = self.distance_embedding.weight.device
        k_K = torch.arange(keys, device=device)
        distance_TK = k_K[keys - queries :, None] - k_K[None]
        return self.distance_embedding(distance_TK + self.max_position_embeddings - 1).to(dtype)

    def mask(self, q_BHTD: Tensor, k_BHKD: Tensor, attention_mask: Any) -> Any:
        vectors_TKD = self.distances(q_BHTD.shape[2], k_BHKD.shape[2], q_BHTD.dtype)
        bias_BHTK = torch.einsum("bhtd,tkd->bhtk", q_BHTD, vectors_TKD)
        return mask_with_bias(attention_mask, bias_BHTK * self.bias_scaling, self.is_causal)


class RelativeKeyQuerySelfAttention(RelativeKeySelfAttention):
    """The distance's vector times the query, plus times the key (arXiv:2009.13658, method 4)."""

    def mask(self, q_BHTD: Tensor, k_BHKD: Tensor, attention_mask: Any) -> Any:
        vectors_TKD = self.distances(q_BHTD.shape[2], k_BHKD.shape[2], q_BHTD.dtype)
        by_query = torch.einsum("bhtd,tkd->bhtk", q_BHTD, vectors_TKD)
        by_key = torch.einsum("bhkd,tkd->bhtk", k_BHKD, vectors_TKD)
        return mask_with_bias(attention_mask, (by_query + by_key) * self.bias_scaling, self.is_causal)


SELF_ATTENTION: dict[str, type[TextSelfAttention]] = {
    "absolute": TextSelfAttention,
    "relative_key": RelativeKeySelfAttention,
    "relative_key_query": RelativeKeyQuerySelfAttention,
}


def self_attention_class(config: Any) -> type[TextSelfAttention]:
    """The class of config.position_embedding_type.

    Raises: ValueError for a kind that does not exist.
    """
    kind = getattr(config, "position_embedding_type", None) or "absolute"
    if kind not in SELF_ATTENTION:
        raise ValueError(f"position_embedding_type is {kind!r}; it can be {', '.join(SELF_ATTENTION)}.")
    return SELF_ATTENTION[kind]


class TextCrossAttention(TextSelfAttention):
    """Attention to an encoder's states, whose keys and values an EncoderDecoderCache keeps."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.is_causal = False

    def forward(  # type: ignore[override]
        self,
        x_BTC: Tensor,
        encoder_BKC: Tensor,
        encoder_attention_mask: Any = None,
        head_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and, where asked or the kernel gives them, the weights (B, H, T, K)."""
        q_BHTD = self.heads(self.query(x_BTC))
        cache = past_key_values if isinstance(past_key_values, EncoderDecoderCache) else None
        if cache is not None and cache.is_updated.get(self.layer_idx):
            k_BHKD, v_BHKD = cache.cross_attention_cache[self.layer_idx]
        else:
            k_BHKD, v_BHKD = self.heads(self.key(encoder_BKC)), self.heads(self.value(encoder_BKC))
            if cache is not None:
                k_BHKD, v_BHKD = cache.cross_attention_cache.update(k_BHKD, v_BHKD, self.layer_idx)
                cache.is_updated[self.layer_idx] = True
        options = {} if head_mask is None else {"head_mask": head_mask}
        out_BTHD, weights = self.attend(q_BHTD, k_BHKD, v_BHKD, encoder_attention_mask, output_attentions, **options)
        return out_BTHD.flatten(2), weights


class ResidualOutput(nn.Module):
    """LayerNorm(x + dropout(dense(y)))."""

    def __init__(self, config: Any, input_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(input_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """y: the branch. x: what it is added to. Both (B, T, ...)."""
        return self.LayerNorm(x + self.dropout(self.dense(y)))


class TextAttentionBlock(nn.Module):
    """`attention_class` under the name `self`, and the residual output; its heads can be pruned."""

    def __init__(self, config: Any, layer_idx: int, attention_class: type[TextSelfAttention]) -> None:
        super().__init__()
        self.self = attention_class(config, layer_idx)
        self.output = ResidualOutput(config, config.hidden_size)
        self.pruned_heads: set[int] = set()

    def forward(self, x_BTC: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """As the attention's forward."""
        attended, weights = self.self(x_BTC, *args, **kwargs)
        return self.output(attended, x_BTC), weights

    def prune_heads(self, heads: list[int] | set[int]) -> None:
        """Remove heads, numbered as in the unpruned layer; those already removed are passed over."""
        attention = self.self
        heads, index = find_pruneable_heads_and_indices(
            heads, attention.num_attention_heads, attention.attention_head_size, self.pruned_heads
        )
        if not heads:
            return
        for name in ("query", "key", "value"):
            setattr(attention, name, prune_linear_layer(getattr(attention, name), index))
        self.output.dense = prune_linear_layer(self.output.dense, index, dim=1)
        attention.num_attention_heads -= len(heads)
        self.pruned_heads |= heads
