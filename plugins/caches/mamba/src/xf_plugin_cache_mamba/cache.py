"""MambaCache: what a state-space model keeps of the past (arXiv:2312.00752), of one size however long the text is.

Shapes: B batch, I inner width (config.intermediate_size), W width of the convolution (config.conv_kernel), S state size
(config.state_size), L layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class MambaCache:
    """conv_states: L tensors (B, I, W), the latest inputs of the convolution. ssm_states: L tensors (B, I, S).

    Both start as zeros and stay where they are, so that compiled programs can use them.
    Raises: ValueError for a batch that holds no row.
    """

    is_compileable = True

    def __init__(
        self,
        config: Any,
        max_batch_size: int,
        dtype: torch.dtype = torch.float16,
        device: torch.device | str | None = None,
    ) -> None:
        if max_batch_size < 1:
            raise ValueError(f"max_batch_size is {max_batch_size}; it must be at least 1.")
        self.max_batch_size = max_batch_size
        self.intermediate_size = config.intermediate_size
        self.ssm_state_size = config.state_size
        self.conv_kernel_size = config.conv_kernel
        self._dtype = dtype
        layers = range(config.num_hidden_layers)

        def zeros(width: int) -> Tensor:
            return torch.zeros(max_batch_size, config.intermediate_size, width, dtype=dtype, device=device)

        with torch.inference_mode(False):  # so that a cache made by `generate` can be used outside of it
            self.conv_states = [zeros(self.conv_kernel_size) for _ in layers]
            self.ssm_states = [zeros(self.ssm_state_size) for _ in layers]

    def update_conv_state(self, layer_idx: int, new_conv_state: Tensor, cache_position: Tensor) -> Tensor:
        """Push new inputs (B, I, T) of layer layer_idx; returns its latest W, (B, I, W).

        cache_position (T,): where they stand; the last place is for all positions from W - 1 on.
        """
        state = self.conv_states[layer_idx]
        slots = cache_position.to(state.device).clamp(0, self.conv_kernel_size - 1)
        shifted = state.roll(-1, dims=-1)
        shifted[:, :, slots] = new_conv_state.to(device=state.device, dtype=state.dtype)
        state.copy_(shifted)
        return state

    def update_ssm_state(self, layer_idx: int, new_ssm_state: Tensor) -> Tensor:
        """Replace the state (B, I, S) of layer layer_idx; returns it."""
        state = self.ssm_states[layer_idx]
        state.copy_(new_ssm_state.to(state.dtype))
        return state

    def reset(self) -> None:
        """Forget the text."""
        for state in (*self.conv_states, *self.ssm_states):
            state.zero_()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row i takes over row beam_idx[i] (beam search)."""
        for state in (*self.conv_states, *self.ssm_states):
            state.copy_(state.index_select(0, beam_idx.to(state.device)))
