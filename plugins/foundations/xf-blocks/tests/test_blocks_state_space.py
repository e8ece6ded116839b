"""The scans in chunks equal the recurrence token by token, for any length and any start; values and gradients."""

from __future__ import annotations

import pytest
import torch

from xf_blocks.state_space import causal_conv, chunked_scan, selective_scan

torch.set_num_threads(1)


@pytest.mark.parametrize("length", [1, 16, 17, 100, 530])
def test_selective_scan_is_the_recurrence(length: int) -> None:
    torch.manual_seed(0)
    x, dt = torch.randn(2, length, 3), torch.rand(2, length, 3)
    a, b, c = -torch.rand(3, 4) * 3, torch.randn(2, length, 4), torch.randn(2, length, 4)
    start = torch.randn(2, 3, 4)
    inputs = [t.requires_grad_() for t in (x, dt, a, b, c, start)]
    y, last = selective_scan(*inputs)
    state, expected = start, []
    for t in range(length):
        state = (dt[:, t, :, None] * a).exp() * state + (dt[:, t] * x[:, t])[..., None] * b[:, t, None]
        expected.append((state * c[:, t, None]).sum(-1))
    torch.testing.assert_close(y, torch.stack(expected, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last, state, atol=1e-5, rtol=1e-5)
    ours = torch.autograd.grad(y.square().sum(), inputs, retain_graph=True)
    theirs = torch.autograd.grad(torch.stack(expected, 1).square().sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


def test_wide_states_take_blocks_of_a_long_text() -> None:
    torch.manual_seed(0)
    x, dt, a = torch.randn(1, 300, 1100), torch.rand(1, 300, 1100), -torch.rand(1100, 4) * 3
    b, c = torch.randn(1, 300, 4), torch.randn(1, 300, 4)
    y, last = selective_scan(x, dt, a, b, c)
    some = slice(500, 503)  # channels do not see each other
    narrow, narrow_last = selective_scan(x[..., some], dt[..., some], a[some], b, c)
    torch.testing.assert_close(y[..., some], narrow, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last[:, some], narrow_last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("length", "chunk"), [(1, 4), (4, 4), (11, 4), (11, 64)])
def test_chunked_scan_is_the_recurrence(length: int, chunk: int) -> None:
    torch.manual_seed(0)
    x, dt, a = torch.randn(2, length, 3, 5), torch.rand(2, length, 3), -torch.rand(3) * 3
    b, c, state = torch.randn(2, length, 3, 4), torch.randn(2, length, 3, 4), torch.randn(2, 3, 5, 4)
    y, last = chunked_scan(x, dt, a, b, c, chunk, state)
    expected = []
    for t in range(length):
        added = (dt[:, t, :, None] * x[:, t])[..., None] * b[:, t, :, None]
        state = (dt[:, t] * a).exp()[..., None, None] * state + added
        expected.append((state * c[:, t, :, None]).sum(-1))
    torch.testing.assert_close(y, torch.stack(expected, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last, state, atol=1e-5, rtol=1e-5)


def test_a_decay_that_leaves_nothing_gives_no_nan() -> None:
    x, dt = torch.randn(1, 64, 1, 2), torch.full((1, 64, 1), 50.0)
    b = c = torch.randn(1, 64, 1, 3)
    x.requires_grad_()
    y, _ = chunked_scan(x, dt, torch.tensor([-40.0]), b, c, 64)
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert x.grad is not None and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("cut", [1, 2, 7])
def test_convolution_continues(cut: int) -> None:
    torch.manual_seed(0)
    conv, x = torch.nn.Conv1d(3, 3, 4, groups=3), torch.randn(2, 3, 9)
    whole, latest = causal_conv(conv, x, None)
    first, past = causal_conv(conv, x[..., :cut], None)
    second, end = causal_conv(conv, x[..., cut:], past)
    torch.testing.assert_close(torch.cat([first, second], -1), whole)
    torch.testing.assert_close(end, latest)
