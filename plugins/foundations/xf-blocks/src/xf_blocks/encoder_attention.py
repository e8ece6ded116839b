"""Self-attention of encoders whose four linear layers have names of their own, the pruning of heads, own attention.

Shapes: B batch, H heads, D head width, T tokens, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf.interfaces.model import PreTrainedModel

from .pytorch_utils import find_pruneable_heads_and_indices, prune_linear_layer


class EncoderAttention(AttentionModule):
    """out(attention(query(x), key(x), value(x))); a subclass gives the four their names."""

    names: ClassVar[tuple[str, str, str, str]] = ("query", "key", "value", "out")

    def __init__(self, config: Any, width: int, heads: int, dropout: float) -> None:
        super().__init__(config)
        if width % heads:
            raise ValueError(f"The width ({width}) must be a multiple of the number of attention heads ({heads}).")
        self.num_attention_heads = heads
        self.attention_head_size = width // heads
        self.scaling = self.attention_head_size**-0.5
        self.attention_dropout = dropout
        self.pruned_heads: set[int] = set()
        for name in self.names:
            setattr(self, name, nn.Linear(width, width))

    def heads(self, x_BTC: Tensor) -> Tensor:
        """(B, T, H * D) -> (B, H, T, D)."""
        return x_BTC.view(*x_BTC.shape[:2], -1, self.attention_head_size).transpose(1, 2)

    def forward(
        self,
        x_BTC: Tensor,
        attention_mask: Any = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and, where asked or the kernel gives them, the weights (B, H, T, T)."""
        query, key, value, out = (getattr(self, name) for name in self.names)
        options = {} if head_mask is None else {"head_mask": head_mask}
        out_BTHD, weights = self.attend(
            self.heads(query(x_BTC)),
            self.heads(key(x_BTC)),
            self.heads(value(x_BTC)),
            attention_mask,
            output_attentions,
            **options,
        )
        return out(out_BTHD.flatten(2)), weights

    def prune_heads(self, heads: list[int] | set[int]) -> None:
        """Remove heads, numbered as in the unpruned layer; those already removed are passed over."""
        prune_attention(self, self.names, heads)


def prune_attention(attention: Any, names: tuple[str, str, str, str], heads: list[int] | set[int]) -> None:
    """Remove heads of a module whose linear layers for query, key, value and output are called `names`.

    It has num_attention_heads, attention_head_size and pruned_heads, by which heads already removed are passed over.
    """
    heads, index = find_pruneable_heads_and_indices(
        heads, attention.num_attention_heads, attention.attention_head_size, attention.pruned_heads
    )
    if not heads:
        return
    for name in names[:3]:
        setattr(attention, name, prune_linear_layer(getattr(attention, name), index))
    setattr(attention, names[3], prune_linear_layer(getattr(attention, names[3]), index, dim=1))
    attention.num_attention_heads -= len(heads)
    attention.pruned_heads |= heads


class OwnAttention(PreTrainedModel):
    """A model whose attention is its own computation, which no attention backend can do.

    Raises: ValueError where another attention than "eager" is asked for.
    """

    def _choose_attention(self, config: Any) -> None:
        asked = config._attn_implementation if getattr(config, "_attn_explicit", True) else None
        self._refuse_backend(asked)
        config._attn_implementation_internal, config._attn_explicit = "eager", True
        super()._choose_attention(config)
        config._attn_explicit = self.attention_choice.explicit = asked is not None

    def set_attn_implementation(self, attn_implementation: str | dict[str, str]) -> None:
        names = attn_implementation.values() if isinstance(attn_implementation, dict) else [attn_implementation]
        for name in names:
            self._refuse_backend(name)
        super().set_attn_implementation(attn_implementation)

    def _refuse_backend(self, name: str | None) -> None:
        if name not in (None, "eager"):
            raise ValueError(
                f"{type(self).__name__} computes attention in its own way: attn_implementation={name!r} cannot do it. "
                "Use attn_implementation='eager', or name none."
            )
