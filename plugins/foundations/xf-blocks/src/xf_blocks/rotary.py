"""Rotary position embeddings (arXiv:2104.09864): the module that knows the angles, and the functions that apply them.

Shapes: B batch, H heads, T positions, D rotated width.

`RotaryEmbedding.rotation` hands layers a `Rotation`: cos and sin, (B or 1, 1, T, D), with sin already signed for the
partner channel, so that a layer rotates with three operations: x * cos + partner(x) * sin.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .rope_kinds import longrope_original_length, rope_kind, rope_type_of

Rotation = tuple[Tensor, Tensor]
_FIRST_TABLE = 256  # positions in the first table of cos and sin; it doubles when a text is longer


def rotate(x_BHTD: Tensor, rotation: Rotation) -> Tensor:
    """Rotate channel i together with channel i + D / 2."""
    cos, sin = rotation
    return torch.addcmul(x_BHTD * cos, x_BHTD.roll(x_BHTD.shape[-1] // 2, -1), sin)


def rotate_interleaved(x_BHTD: Tensor, rotation: Rotation) -> Tensor:
    """Rotate channel 2 i together with channel 2 i + 1."""
    cos, sin = rotation
    partner = x_BHTD.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(x_BHTD * cos, partner, sin)


def rotate_first(x_BHTD: Tensor, rotation: Rotation, rotate: Callable[[Tensor, Rotation], Tensor] = rotate) -> Tensor:
    """Rotate the first channels, as many as `rotation` has; the rest pass unchanged."""
    width = rotation[0].shape[-1]
    return torch.cat((rotate(x_BHTD[..., :width], rotation), x_BHTD[..., width:]), dim=-1)


class RotaryEmbedding(nn.Module):
    """The angles of config's kind of rotary embedding, for `rotate` (channel i paired with i + D / 2).

    Kinds whose frequencies depend on the length ("dynamic", "longrope") decide by the longest position of the call, so
    a call never depends on earlier ones. inv_freq stays float32 when the model is cast to another dtype.
    """

    inv_freq: Tensor

    def __init__(self, config: Any, device: Any = None) -> None:
        super().__init__()
        self.config = config
        self.rope_type = rope_type_of(config)
        self.rope_init_fn = rope_kind(config)
        self.max_seq_len_cached = self.original_max_seq_len = config.max_position_embeddings
        # On an explicit device, so that a model built on the meta device still has its angles.
        inv_freq, self.attention_scaling = self.rope_init_fn(config, device or "cpu")
        self.register_buffer("inv_freq", inv_freq, persistent=False)
        self.original_inv_freq = inv_freq
        self._table: Rotation | None = None
        self._by_length = {"dynamic": config.max_position_embeddings, "longrope": longrope_original_length(config)}.get(
            self.rope_type
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RotaryEmbedding:
        exact = self.inv_freq
        super()._apply(fn, recurse)
        self.inv_freq = exact if self.inv_freq.is_meta else exact.to(self.inv_freq.device)
        self._table = None
        return self

    def frequencies(self, length: int | None, device: torch.device) -> tuple[Tensor, float]:
        """(inv_freq (D / 2,), factor on cos and sin) for texts of `length` positions."""
        if self._by_length is not None and length is not None and length > self._by_length:
            return self.rope_init_fn(self.config, device, seq_len=torch.tensor(length, device=device))
        return self.inv_freq.to(device), self.attention_scaling

    def spread(self, angles: Tensor) -> Tensor:
        """(..., D / 2) angles to the channels they belong to, (..., D)."""
        return torch.cat((angles, angles), dim=-1)

    def signed(self, sin: Tensor) -> Tensor:
        """Negate sin (..., D) at the first channel of each pair."""
        first, second = sin.chunk(2, dim=-1)
        return torch.cat((-first, second), dim=-1)

    @torch.no_grad()
    def forward(self, x: Tensor, position_ids: Tensor) -> Rotation:
        """Unsigned cos and sin (B, T, D) for position_ids (B, T), in x's dtype."""
        length = int(position_ids.max()) + 1 if self._by_length is not None else None
        inv_freq, factor = self.frequencies(length, x.device)
        angles = self.spread(position_ids[..., None].to(device=x.device, dtype=torch.float32) * inv_freq)
        return (angles.cos() * factor).to(x.dtype), (angles.sin() * factor).to(x.dtype)

    def rotation_at(self, x: Tensor, position_ids: Tensor) -> Rotation:
        """The rotation for position_ids (B, T), any positions; in x's dtype and on its device."""
        cos, sin = self(x, position_ids)
        return cos[:, None], self.signed(sin)[:, None]

    def rotation(self, x: Tensor, start: int, length: int) -> Rotation:
        """The rotation for positions start ... start + length - 1, looked up in a table that grows."""
        end = start + length
        if self._by_length is not None or torch.compiler.is_compiling():
            return self.rotation_at(x, torch.arange(start, end, device=x.device)[None])
        table = self._table
        if table is None or end > table[0].shape[2] or table[0].dtype != x.dtype or table[0].device != x.device:
            table = self._table = self._build_table(x, end)
        cos, sin = table
        return cos.narrow(2, start, length), sin.narrow(2, start, length)

    @torch.inference_mode(False)  # the table outlives this call and may serve one that trains
    def _build_table(self, x: Tensor, end: int) -> Rotation:
        size = max(_FIRST_TABLE, 1 << (end - 1).bit_length())
        like = torch.empty(0, dtype=x.dtype, device=x.device)
        return self.rotation_at(like, torch.arange(size, device=x.device)[None])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_table": None}  # copies and pickles make their own


class InterleavedRotaryEmbedding(RotaryEmbedding):
    """The same angles for `rotate_interleaved` (channel 2 i paired with 2 i + 1)."""

    def spread(self, angles: Tensor) -> Tensor:
        return angles.repeat_interleave(2, dim=-1)

    def signed(self, sin: Tensor) -> Tensor:
        signs = torch.tensor([-1.0, 1.0], dtype=sin.dtype, device=sin.device)
        return sin * signs.repeat(sin.shape[-1] // 2)


def dynamic_rope_update(rope_forward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the forward(self, x, position_ids, ...) of a rotary module whose frequencies depend on the length.

    The module has config, rope_type, rope_init_fn, inv_freq, original_inv_freq, attention_scaling, max_seq_len_cached
    and original_max_seq_len. With rope_type "dynamic", inv_freq is renewed when a position passes max_seq_len_cached,
    and put back when all fit into original_max_seq_len again; with "longrope" it is the long or the short one, as
    the positions need it. Other kinds are left alone. (`RotaryEmbedding` itself keeps no such state.)
    """

    @functools.wraps(rope_forward)
    def forward(self: Any, x: Tensor, position_ids: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.rope_type == "dynamic":
            _renew_dynamic(self, position_ids.max() + 1, x.device)
        elif self.rope_type == "longrope":
            length = int(position_ids.max()) + 1
            if length > longrope_original_length(self.config):
                self.inv_freq = self.rope_init_fn(self.config, x.device, seq_len=length)[0]
            else:
                self.inv_freq = self.original_inv_freq.to(x.device)
        return rope_forward(self, x, position_ids, *args, **kwargs)

    return forward


def _renew_dynamic(module: Any, length: Tensor, device: torch.device) -> None:
    if length > module.max_seq_len_cached:
        inv_freq, module.attention_scaling = module.rope_init_fn(module.config, device, seq_len=length)
        module.inv_freq = inv_freq
        module.max_seq_len_cached = length
    if length < module.original_max_seq_len < module.max_seq_len_cached:
        module.inv_freq = module.original_inv_freq.to(device)
        module.max_seq_len_cached = module.original_max_seq_len
