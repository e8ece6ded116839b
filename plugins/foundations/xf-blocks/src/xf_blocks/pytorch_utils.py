"""Chunked feed-forward, pruning of heads, and GPT-2's linear layer (spec: internal/modeling_utils.md)."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Conv1D(nn.Module):
    """A linear layer whose weight is stored transposed, (nx, nf), as GPT-2's checkpoints have it.

    nf: width of the output. nx: width of the input.
    """

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight = nn.Parameter(torch.empty(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """normal(0, 0.02) (Radford et al. 2018, section 4.1), bias zero."""
        nn.init.normal_(self.weight, std=0.02)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., nx) -> (..., nf)."""
        return torch.addmm(self.bias, x.reshape(-1, self.nx), self.weight).view(*x.shape[:-1], self.nf)

    def extra_repr(self) -> str:
        return f"nf={self.nf}, nx={self.nx}"


def apply_chunking_to_forward(
    forward_fn: Callable[..., Tensor], chunk_size: int, chunk_dim: int, *input_tensors: Tensor
) -> Tensor:
    """forward_fn on parts of chunk_size along chunk_dim, joined again: less memory, the same result (arXiv:2001.04451).

    chunk_size 0 runs it in one piece.
    Raises: ValueError if forward_fn takes another number of tensors, or if the tensors' sizes along chunk_dim differ or
    are not a multiple of chunk_size.
    """
    if not input_tensors:
        raise ValueError("apply_chunking_to_forward needs at least one tensor.")
    takes = inspect.signature(forward_fn).parameters
    if len(takes) != len(input_tensors):
        raise ValueError(f"forward_fn takes {len(takes)} tensors, {len(input_tensors)} were given.")
    if chunk_size <= 0:
        return forward_fn(*input_tensors)
    sizes = {tensor.shape[chunk_dim] for tensor in input_tensors}
    if len(sizes) > 1:
        raise ValueError(f"All tensors must be of one size along dimension {chunk_dim}, not {sorted(sizes)}.")
    size = sizes.pop()
    if size % chunk_size:
        raise ValueError(f"Dimension {chunk_dim} is {size} long, which is not a multiple of chunk_size {chunk_size}.")
    parts = zip(*(tensor.split(chunk_size, dim=chunk_dim) for tensor in input_tensors), strict=True)
    return torch.cat([forward_fn(*part) for part in parts], dim=chunk_dim)


def find_pruneable_heads_and_indices(
    heads: list[int] | set[int], n_heads: int, head_size: int, already_pruned_heads: set[int]
) -> tuple[set[int], Tensor]:
    """(heads that are still there, the channels to keep of a projection that has n_heads heads left).

    heads and already_pruned_heads are numbered as in the unpruned layer; n_heads counts the ones left.
    """
    remaining = set(heads) - already_pruned_heads
    kept = torch.ones(n_heads, head_size, dtype=torch.bool)
    for head in remaining:
        kept[head - sum(pruned < head for pruned in already_pruned_heads)] = False
    return remaining, kept.view(-1).nonzero().squeeze(-1)


def prune_linear_layer(layer: nn.Linear, index: Tensor, dim: int = 0) -> nn.Linear:
    """A linear layer with only the outputs (dim 0) or inputs (dim 1) in `index`."""
    index = index.to(layer.weight.device)
    weight = layer.weight.detach().index_select(dim, index)
    pruned = nn.Linear(weight.shape[1], weight.shape[0], bias=layer.bias is not None).to(weight)
    with torch.no_grad():
        pruned.weight.copy_(weight)
        if layer.bias is not None:
            pruned.bias.copy_(layer.bias if dim == 1 else layer.bias[index])
    return pruned


def prune_conv1d_layer(layer: Conv1D, index: Tensor, dim: int = 1) -> Conv1D:
    """A Conv1D with only the outputs (dim 1) or inputs (dim 0) in `index`."""
    index = index.to(layer.weight.device)
    weight = layer.weight.detach().index_select(dim, index)
    pruned = Conv1D(weight.shape[1], weight.shape[0]).to(weight)
    with torch.no_grad():
        pruned.weight.copy_(weight)
        pruned.bias.copy_(layer.bias if dim == 0 else layer.bias[index])
    return pruned


def prune_layer(layer: nn.Linear | Conv1D, index: Tensor, dim: int | None = None) -> nn.Linear | Conv1D:
    """`prune_linear_layer` or `prune_conv1d_layer`; dim: outputs by default.

    Raises: ValueError for another kind of layer.
    """
    if isinstance(layer, nn.Linear):
        return prune_linear_layer(layer, index, 0 if dim is None else dim)
    if isinstance(layer, Conv1D):
        return prune_conv1d_layer(layer, index, 1 if dim is None else dim)
    raise ValueError(f"Only nn.Linear and Conv1D can be pruned, not {type(layer).__name__}.")
