"""What every model can do besides loading: count, mask helpers, memory, and the layer that checkpoints its activations.

Documented as `modeling_utils.ModuleUtilsMixin` (spec: main_classes/model.md) and `GradientCheckpointingLayer`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from .. import logging

logger = logging.get_logger(__name__)
Forward = TypeVar("Forward", bound=Callable[..., Any])


def model_forward(forward: Forward) -> Forward:
    """Decorate a forward: fills output_attentions and output_hidden_states from the config, honours return_dict.

    The wrapped forward takes the two flags as plain booleans and always returns a ModelOutput.
    """
    positions = {name: i - 1 for i, name in enumerate(inspect.signature(forward).parameters)}
    flags = [name for name in ("output_attentions", "output_hidden_states") if name in positions]

    @functools.wraps(forward)
    def call(self: Any, *args: Any, return_dict: bool | None = None, **kwargs: Any) -> Any:
        config = self.config
        for flag in flags:
            if kwargs.get(flag) is None and len(args) <= positions[flag]:
                kwargs[flag] = bool(getattr(config, flag, False))
        output = forward(self, *args, **kwargs)
        if return_dict is None:
            return_dict = getattr(config, "return_dict", True)
        return output if return_dict or isinstance(output, tuple) else output.to_tuple()

    return cast(Forward, call)


class GradientCheckpointingLayer(nn.Module):
    """A layer that, while training with gradient checkpointing on, recomputes its activations instead of keeping them.

    `model.gradient_checkpointing_enable()` switches it on. A cache cannot be filled twice, so past_key_values is left
    out of such a forward.
    """

    gradient_checkpointing: bool = False
    _checkpoint: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self.gradient_checkpointing and self.training and torch.is_grad_enabled()):
            return super().__call__(*args, **kwargs)
        assert self._checkpoint is not None, "gradient_checkpointing_enable sets both"
        for name in ("past_key_values", "past_key_value", "layer_past"):
            if kwargs.get(name) is not None:
                logger.warning_once(f"{name} is not used: gradient checkpointing computes layers twice.")
                kwargs[name] = None
        if kwargs.get("use_cache"):
            kwargs["use_cache"] = False
        return self._checkpoint(functools.partial(super().__call__, **kwargs), *args)


class ModuleUtilsMixin:
    """Small utilities of all models."""

    @property
    def device(self) -> torch.device:
        """Device of the first parameter (or buffer)."""
        first: Tensor = next(_tensors(self))
        return first.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating dtype of the first floating parameter (or buffer)."""
        return next((t.dtype for t in _tensors(self) if t.is_floating_point()), torch.get_default_dtype())

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of parameters; shared ones count once."""
        module = cast(nn.Module, self)
        skipped: set[int] = set()
        if exclude_embeddings:
            skipped = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
        return sum(
            p.numel() for p in module.parameters() if id(p) not in skipped and (p.requires_grad or not only_trainable)
        )

    def estimate_tokens(self, input_dict: Mapping[str, Any]) -> int:
        """Number of elements of the main input."""
        name = getattr(self, "main_input_name", "input_ids")
        if name in input_dict:
            return int(input_dict[name].numel())
        logger.warning_once(f"Cannot count tokens: the inputs have no {name!r}, only {sorted(input_dict)}.")
        return 0

    def floating_point_ops(self, input_dict: Mapping[str, Any], exclude_embeddings: bool = True) -> int:
        """Operations of a forward and backward pass: 6 per token and parameter (arXiv:2001.08361, section 2.1)."""
        return 6 * self.estimate_tokens(input_dict) * self.num_parameters(exclude_embeddings=exclude_embeddings)

    def invert_attention_mask(self, encoder_attention_mask: Tensor) -> Tensor:
        """(B, K) or (B, Q, K) with 1 where attention is allowed -> additive (B, 1, 1 or Q, K) in the model's dtype."""
        return self._additive(encoder_attention_mask, self.dtype)

    def get_extended_attention_mask(
        self,
        attention_mask: Tensor,
        input_shape: tuple[int, ...],
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """(B, T) or (B, Q, K), 1 where attention is allowed -> additive mask, causal if the config is a decoder's."""
        config = getattr(self, "config", None)
        if attention_mask.ndim == 2 and getattr(config, "is_decoder", False):
            extended = self.create_extended_attention_mask_for_decoder(input_shape, attention_mask)
            return self._additive(extended[:, 0], dtype or self.dtype)
        return self._additive(attention_mask, dtype or self.dtype)

    @staticmethod
    def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
        if mask.ndim not in (2, 3):
            raise ValueError(f"An attention mask has 2 or 3 dimensions; this one has shape {tuple(mask.shape)}.")
        mask = mask[:, None] if mask.ndim == 3 else mask[:, None, None]
        return (1.0 - mask.to(dtype)) * torch.finfo(dtype).min

    @staticmethod
    def create_extended_attention_mask_for_decoder(
        input_shape: tuple[int, ...], attention_mask: Tensor, device: torch.device | None = None
    ) -> Tensor:
        """(B, 1, T, K): causal order over the last T of K positions, times the padding mask (B, K)."""
        length, total = input_shape[1], attention_mask.shape[1]
        causal = torch.ones(length, total, device=attention_mask.device).tril(total - length)
        return causal.to(attention_mask.dtype)[None, None] * attention_mask[:, None, None, :]

    def get_head_mask(
        self, head_mask: Tensor | None, num_hidden_layers: int, is_attention_chunked: bool = False
    ) -> Any:
        """head_mask (H,) or (L, H), 1 to keep -> (L, 1, H, 1, 1) in the model's dtype; None -> a list of L Nones."""
        if head_mask is None:
            return [None] * num_hidden_layers
        if head_mask.ndim == 1:
            head_mask = head_mask[None, None, :, None, None].expand(num_hidden_layers, -1, -1, -1, -1)
        elif head_mask.ndim == 2:
            head_mask = head_mask[:, None, :, None, None]
        if head_mask.ndim != 5:
            raise ValueError(f"head_mask must be (heads,) or (layers, heads); it has shape {tuple(head_mask.shape)}.")
        head_mask = head_mask.to(dtype=self.dtype)
        return head_mask.unsqueeze(-1) if is_attention_chunked else head_mask

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes of all parameters, and of the buffers too."""
        module = cast(nn.Module, self)
        tensors = [*module.parameters(), *(module.buffers() if return_buffers else ())]
        return sum(tensor.nelement() * tensor.element_size() for tensor in tensors)

    def get_parameter_or_buffer(self, target: str) -> Tensor:
        """The parameter or buffer with this dotted name.

        Raises: AttributeError if there is none.
        """
        module = cast(nn.Module, self)
        owner = module.get_submodule(target.rpartition(".")[0])
        found = getattr(owner, target.rpartition(".")[2], None)
        if not isinstance(found, Tensor):
            raise AttributeError(f"{type(self).__name__} has no parameter or buffer {target!r}.")
        return found


def _tensors(module: Any) -> Any:
    yield from module.parameters()
    yield from module.buffers()
