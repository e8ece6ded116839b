"""Self-attention of a causal decoder.

Shapes: B batch, T new tokens, K tokens so far, H query heads, G key-value heads, D head width, C model width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule, sdpa_attention
from xf.interfaces.cache import Cache, layer_kinds

from .direct import direct, direct_form, rows_form
from .fusing import fused_form
from .products import computes_in_float32
from .rotary import Rotation, rotate


def head_width(config: Any) -> int:
    """config.head_dim, or hidden_size / num_attention_heads where it is not set."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


class DecoderAttention(AttentionModule):
    """Grouped-query attention with rotary positions and a cache (arXiv:2305.13245).

    A family that differs overrides `project` (norms of queries and keys, fused matrices) or `rotate` (partial or
    interleaved rotation, none). kernel_options: further keyword arguments for the attention kernel, as
    sliding_window or softcap.
    """

    is_causal = True
    fusable: ClassVar = (("q_proj", "k_proj", "v_proj"),)

    def __init__(
        self,
        config: Any,
        layer_idx: int,
        *,
        qkv_bias: bool = False,
        out_bias: bool = False,
        scaling: float | None = None,
        kernel_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(config)
        self.layer_idx = layer_idx
        self.head_dim = head_width(config)
        heads, groups = config.num_attention_heads, config.num_key_value_heads
        if heads % groups:
            raise ValueError(f"num_attention_heads ({heads}) must be a multiple of num_key_value_heads ({groups}).")
        self.num_key_value_groups = heads // groups
        self.scaling = self.head_dim**-0.5 if scaling is None else scaling
        self.attention_dropout = getattr(config, "attention_dropout", 0.0)
        self.kernel_options = kernel_options or {}
        self.build_projections(config.hidden_size, heads, groups, qkv_bias, out_bias)

    def build_projections(self, hidden_size: int, heads: int, groups: int, qkv_bias: bool, out_bias: bool) -> None:
        """Create the matrices under the names of the family's checkpoints."""
        self.q_proj = nn.Linear(hidden_size, heads * self.head_dim, bias=qkv_bias)
        self.k_proj = nn.Linear(hidden_size, groups * self.head_dim, bias=qkv_bias)
        self.v_proj = nn.Linear(hidden_size, groups * self.head_dim, bias=qkv_bias)
        self.o_proj = nn.Linear(heads * self.head_dim, hidden_size, bias=out_bias)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, D), keys and values (B, G, T, D)."""
        heads = (*x_BTC.shape[:-1], -1, self.head_dim)
        return (
            self.q_proj(x_BTC).view(heads).transpose(1, 2),
            self.k_proj(x_BTC).view(heads).transpose(1, 2),
            self.v_proj(x_BTC).view(heads).transpose(1, 2),
        )

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        """Queries and keys with their positions."""
        return rotate(q_BHTD, rotation), rotate(k_BGTD, rotation)

    def output(self, attended_BTC: Tensor) -> Tensor:
        """The last projection."""
        return self.o_proj(attended_BTC)

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and, where a kernel gives them, the weights (B, H, T, K)."""
        q_BHTD, k_BGKD, v_BGKD = self.project(x_BTC)
        q_BHTD, k_BGKD = self.rotate(q_BHTD, k_BGKD, rotation)
        if past_key_values is not None:
            where = None if cache_position is None else {"cache_position": cache_position}
            k_BGKD, v_BGKD = past_key_values.update(k_BGKD, v_BGKD, self.layer_idx, where)
        out_BTHD, weights_BHTK = self.attend(
            q_BHTD, k_BGKD, v_BGKD, attention_mask, output_attentions, **self.kernel_options
        )
        return self.output(out_BTHD.flatten(2)), weights_BHTK


class NormedDecoderAttention(DecoderAttention):
    """Queries and keys are normed head by head before they are rotated (arXiv:2302.05442, section 2.1).

    norm: makes the norm of a width.
    """

    def __init__(self, config: Any, layer_idx: int, norm: Callable[[int], nn.Module], **options: Any) -> None:
        super().__init__(config, layer_idx, **options)
        self.q_norm = norm(self.head_dim)
        self.k_norm = norm(self.head_dim)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads = (*x_BTC.shape[:-1], -1, self.head_dim)
        return (
            self.q_norm(self.q_proj(x_BTC).view(heads)).transpose(1, 2),
            self.k_norm(self.k_proj(x_BTC).view(heads)).transpose(1, 2),
            self.v_proj(x_BTC).view(heads).transpose(1, 2),
        )


def window_options(config: Any, layer_idx: int, **others: Any) -> dict[str, Any]:
    """Keyword arguments for the attention kernel of a layer: its sliding_window where it has one, and `others`."""
    slides = layer_kinds(config)[layer_idx] == "sliding_attention"
    found = {"sliding_window": config.sliding_window} if slides else {}
    return found | {name: value for name, value in others.items() if value is not None}


@direct_form(DecoderAttention)
def _attention(attention: DecoderAttention) -> Callable[..., tuple[Tensor, None]]:
    cls = type(attention)
    turned = _turned_projection(attention)
    output = direct(attention.o_proj) if cls.output is DecoderAttention.output else attention.output
    kernel, options = (
        attention.backend.kernel,
        {"scaling": attention.scaling, "dropout": 0.0} | attention.kernel_options,
    )
    layer_idx = attention.layer_idx
    # torch's kernel for one query takes three times as long in emulated half precision as in float32
    first = next(attention.parameters(), None)
    widens = first is not None and kernel is sdpa_attention and computes_in_float32(first.dtype, first.device.type)

    def forward(x: Tensor, rotation: Rotation, mask: Any, cache: Cache, cache_position: Tensor | None) -> Any:
        q_BHTD, k_BGKD, v_BGKD = turned(x, rotation)
        where = None if cache_position is None else {"cache_position": cache_position}
        k_BGKD, v_BGKD = cache.update(k_BGKD, v_BGKD, layer_idx, where)
        if widens and mask is None and x.ndim == 2:
            wide_BTHD = kernel(attention, q_BHTD.float(), k_BGKD.float(), v_BGKD.float(), None, **options)[0]
            return output(wide_BTHD.to(x.dtype).flatten(1)), None
        attended_BTHD = kernel(attention, q_BHTD, k_BGKD, v_BGKD, mask, **options)[0]
        return output(attended_BTHD.flatten(2) if x.ndim == 3 else attended_BTHD.flatten(1)), None

    return rows_form(forward, turned, output)


def _turned_projection(attention: DecoderAttention) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """The direct form of `project` and `rotate`, as one: (x, rotation) -> rotated queries and keys, values."""
    cls = type(attention)
    known = cls.project in (DecoderAttention.project, NormedDecoderAttention.project)
    if not known or cls.rotate is not DecoderAttention.rotate:
        project, rotate_both = _projection(attention) if known else attention.project, attention.rotate

        def own(x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
            q_BHTD, k_BGTD, v_BGTD = project(x)
            return *rotate_both(q_BHTD, k_BGTD, rotation), v_BGTD

        return rows_form(own, project)
    all_three = fused_form(attention, DecoderAttention.fusable[0]) if cls.project is DecoderAttention.project else None
    if all_three is not None:
        return _fused_projection(attention, all_three)
    project = _projection(attention)

    def turned(x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        q_BHTD, k_BGTD, v_BGTD = project(x)
        return rotate(q_BHTD, rotation), rotate(k_BGTD, rotation), v_BGTD

    return rows_form(turned, project)


def _fused_projection(
    attention: DecoderAttention, all_three: Callable[[Tensor], Tensor]
) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    width = attention.head_dim
    queries, keys = attention.q_proj.out_features // width, attention.k_proj.out_features // width
    turning = queries + keys

    def fused(x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        if x.ndim == 2:
            heads_BNTD = all_three(x).view(x.shape[0], -1, 1, width)
        else:
            heads_BNTD = all_three(x).unflatten(-1, (-1, width)).transpose(1, 2)
        turned_BNTD = rotate(heads_BNTD.narrow(1, 0, turning), rotation)
        values = heads_BNTD.narrow(1, turning, heads_BNTD.shape[1] - turning)
        return turned_BNTD.narrow(1, 0, queries), turned_BNTD.narrow(1, queries, keys), values

    return rows_form(fused, all_three)


def _projection(attention: DecoderAttention) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """The direct form of `project`."""
    q_proj, k_proj, v_proj = direct(attention.q_proj), direct(attention.k_proj), direct(attention.v_proj)
    width = attention.head_dim

    def plain(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if x.ndim == 2:  # (B, C): heads are where a transposition would put them
            heads = (x.shape[0], -1, 1, width)
            return q_proj(x).view(heads), k_proj(x).view(heads), v_proj(x).view(heads)
        heads = (*x.shape[:-1], -1, width)
        return (
            q_proj(x).view(heads).transpose(1, 2),
            k_proj(x).view(heads).transpose(1, 2),
            v_proj(x).view(heads).transpose(1, 2),
        )

    if type(attention).project is DecoderAttention.project:
        return rows_form(plain, q_proj, k_proj, v_proj)
    q_norm, k_norm = direct(attention.q_norm), direct(attention.k_norm)  # over the last dimension, wherever heads are

    def normed(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q_BHTD, k_BGTD, v_BGTD = plain(x)
        return q_norm(q_BHTD), k_norm(k_BGTD), v_BGTD

    return rows_form(normed, q_proj, k_proj, v_proj)
