"""Activations, norms, feed-forward blocks, losses, pruning, chunking, direct forms."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from xf.modeling_rope_utils import dynamic_rope_update
from xf.pytorch_utils import (
    Conv1D,
    apply_chunking_to_forward,
    find_pruneable_heads_and_indices,
    prune_conv1d_layer,
    prune_layer,
    prune_linear_layer,
)
from xf_blocks.activations import ACT2FN, get_activation
from xf_blocks.attention_bias import mask_with_bias
from xf_blocks.direct import direct
from xf_blocks.losses import causal_lm_loss, classification_loss, question_answering_loss, token_loss
from xf_blocks.mlp import MLP, FusedGatedMLP, GatedMLP
from xf_blocks.norms import RMSNorm, UnitOffsetRMSNorm

torch.set_num_threads(1)
ACTIVATIONS = load_file(Path(__file__).parent / "goldens" / "activations.safetensors")
X = ACTIVATIONS.pop("x")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_the_reference(name: str) -> None:
    torch.testing.assert_close(get_activation(name)(X), ACTIVATIONS[name])


def test_activation_names() -> None:
    assert set(ACT2FN) == set(ACTIVATIONS)
    assert ACT2FN["prelu"] is not ACT2FN["prelu"]  # it has a parameter
    with pytest.raises(ValueError, match="no activation 'gelux'; the known ones are gelu"):
        get_activation("gelux")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rms_norms(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 8, dtype=dtype)
    unit = x.float() / (x.float().pow(2).mean(-1, keepdim=True) + 1e-3).sqrt()
    plain, offset = RMSNorm(8, 1e-3).to(dtype), UnitOffsetRMSNorm(8, 1e-3).to(dtype)
    with torch.no_grad():
        for norm in (plain, offset):
            norm.weight.add_(torch.randn(8))
    torch.testing.assert_close(plain(x), plain.weight * unit.to(dtype))
    torch.testing.assert_close(offset(x), ((1 + offset.weight.float()) * unit).to(dtype))


# ---- losses ----


@given(parts=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_losses_of_parts_add_up_to_the_loss_of_the_whole(parts: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    rows = sum(parts)
    logits, labels = torch.randn(rows, 5, 7), torch.randint(0, 7, (rows, 5))
    labels[torch.rand(rows, 5) < 0.4] = -100
    labels[0, 1] = 3
    for loss, counted in ((causal_lm_loss, labels[:, 1:]), (token_loss, labels)):
        items = (counted != -100).sum()
        whole = loss(logits, labels)
        split = sum(
            loss(x, y, num_items_in_batch=items) for x, y in zip(logits.split(parts), labels.split(parts), strict=True)
        )
        torch.testing.assert_close(split, whole)


def test_causal_loss_predicts_the_next_token() -> None:
    labels = torch.tensor([[1, 2, 3]])
    logits = F.one_hot(torch.tensor([[2, 3, 0]]), 5).float() * 50
    assert causal_lm_loss(logits, labels) < 1e-6
    torch.testing.assert_close(
        causal_lm_loss(logits, None, shift_labels_BT=torch.tensor([[2, 3, 0]])), torch.tensor(0.0)
    )


def test_classification_follows_the_problem_type() -> None:
    logits, settings = torch.randn(4, 3), SimpleNamespace(problem_type=None, num_labels=3)
    classes, flags = torch.tensor([0, 2, 1, 1]), torch.rand(4, 3)
    torch.testing.assert_close(classification_loss(logits, classes, settings), F.cross_entropy(logits, classes))
    expected = F.binary_cross_entropy_with_logits(logits, flags)
    torch.testing.assert_close(classification_loss(logits, flags, settings), expected)
    settings.problem_type = "regression"
    torch.testing.assert_close(classification_loss(logits, flags, settings), F.mse_loss(logits, flags))
    with pytest.raises(ValueError, match=r"logits \(4, 3\) cannot use labels \(4,\)"):
        classification_loss(logits, torch.rand(4), settings)


def test_answers_outside_of_the_text_give_no_loss() -> None:
    start, end = torch.randn(2, 5), torch.randn(2, 5)
    only_first = (F.cross_entropy(start[:1], torch.tensor([1])) + F.cross_entropy(end[:1], torch.tensor([2]))) / 2
    loss = question_answering_loss(start, end, torch.tensor([[1], [7]]), torch.tensor([[2], [9]]))
    torch.testing.assert_close(loss, only_first)


# ---- helpers of documented paths ----


@given(heads=st.sets(st.integers(0, 5), max_size=5), earlier=st.sets(st.integers(0, 5), max_size=3))
def test_pruning_keeps_the_channels_of_the_other_heads(heads: set[int], earlier: set[int]) -> None:
    channels = torch.arange(12).view(6, 2)
    left = [head for head in range(6) if head not in earlier]
    new, index = find_pruneable_heads_and_indices(heads, len(left), 2, earlier)
    assert new == heads - earlier
    kept = channels[left].view(-1)[index]
    assert kept.tolist() == channels[[h for h in left if h not in heads]].view(-1).tolist()


def test_pruned_layers_compute_the_kept_part() -> None:
    x, index = torch.randn(3, 4), torch.tensor([0, 2])
    linear, conv = nn.Linear(4, 6), Conv1D(6, 4)
    torch.testing.assert_close(prune_linear_layer(linear, index)(x), linear(x)[:, index])
    torch.testing.assert_close(prune_conv1d_layer(conv, index)(x), conv(x)[:, index])
    kept = x * torch.tensor([1.0, 0, 1, 0])
    torch.testing.assert_close(prune_layer(linear, index, dim=1)(x[:, index]), linear(kept))
    torch.testing.assert_close(prune_layer(conv, index, dim=0)(x[:, index]), conv(kept))
    with pytest.raises(ValueError, match="not Dropout"):
        prune_layer(nn.Dropout(), index)


def test_chunking_changes_nothing_but_memory() -> None:
    sizes, x, y = [], torch.randn(2, 6, 3), torch.randn(2, 6, 3)

    def add(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        sizes.append(a.shape[1])
        return a + b

    assert torch.equal(apply_chunking_to_forward(add, 2, 1, x, y), x + y)
    assert torch.equal(apply_chunking_to_forward(add, 0, 1, x, y), x + y)
    assert sizes == [2, 2, 2, 6]
    with pytest.raises(ValueError, match="not a multiple of chunk_size 4"):
        apply_chunking_to_forward(add, 4, 1, x, y)
    with pytest.raises(ValueError, match="takes 2 tensors, 1 were given"):
        apply_chunking_to_forward(add, 2, 1, x)


def test_documented_paths() -> None:
    from xf import dynamic_rope_update as by_name

    assert by_name is dynamic_rope_update


@pytest.mark.parametrize("queries", [1, 3])
def test_bias_and_mask_are_one_mask(queries: int) -> None:
    bias, low = torch.randn(1, 2, queries, 4), torch.finfo(torch.float32).min
    causal = torch.ones(queries, 4).tril(4 - queries).bool()
    expected = bias.masked_fill(~causal, low)
    assert torch.equal(mask_with_bias(None, bias, is_causal=True), expected)
    assert torch.equal(mask_with_bias(causal, bias, is_causal=True), expected)
    assert torch.equal(mask_with_bias(None, bias, is_causal=False), bias)
    additive = torch.zeros(queries, 4).masked_fill(~causal, low)
    assert torch.equal(mask_with_bias(additive, bias, True).clamp(min=low), (bias + additive).clamp(min=low))


# ---- direct forms ----


@pytest.mark.parametrize(
    "module",
    [nn.Linear(8, 8), nn.LayerNorm(8), RMSNorm(8), UnitOffsetRMSNorm(8), GatedMLP(8, 12, "silu", bias=True),
     FusedGatedMLP(8, 12, "gelu_pytorch_tanh"), MLP(8, 12, "relu2"), nn.Dropout(0.5)],
    ids=lambda m: type(m).__name__,
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_direct_form_computes_the_same(module: nn.Module, dtype: torch.dtype) -> None:
    module, x = module.to(dtype).eval(), torch.randn(2, 1, 8, dtype=dtype)
    torch.testing.assert_close(direct(module)(x), module(x))


def test_what_must_be_called_as_a_module_is() -> None:
    plain = GatedMLP(8, 12, "silu").eval()
    assert direct(plain) is not plain
    assert direct(plain.train()) is plain.train()
    hooked = GatedMLP(8, 12, "silu").eval()
    hooked.register_forward_hook(lambda module, args, output: output * 0)
    assert direct(hooked) is hooked
    hooked_inside = GatedMLP(8, 12, "silu").eval()
    hooked_inside.down_proj.register_forward_hook(lambda module, args, output: output * 0)
    assert not direct(hooked_inside)(torch.randn(1, 8)).any()

    class Different(GatedMLP):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -super().forward(x)

    different = Different(8, 12, "silu").eval()
    assert direct(different) is different
    patched = GatedMLP(8, 12, "silu").eval()
    patched.forward = lambda x: x  # as libraries do that offload or quantize
    assert direct(patched) is patched
