"""Rotary embeddings: the angles of the reference for every kind, and what applying them must do."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from xf_blocks.rope_config import settle_rope_scaling
from xf_blocks.rotary import (
    InterleavedRotaryEmbedding,
    RotaryEmbedding,
    dynamic_rope_update,
    rotate,
    rotate_first,
    rotate_interleaved,
)

torch.set_num_threads(1)
GOLDEN = Path(__file__).parent / "goldens" / "rope.safetensors"
with safe_open(GOLDEN, framework="pt") as file:
    CASES = json.loads(file.metadata()["cases"])
    TENSORS = {key: file.get_tensor(key) for key in file.keys()}


def config(**changes: object) -> SimpleNamespace:
    return SimpleNamespace(**{**CASES["default.20"], **changes})


@pytest.mark.parametrize("name", CASES)
def test_angles_are_those_of_the_reference(name: str) -> None:
    length = int(name.rsplit(".", 1)[1])
    rotary = RotaryEmbedding(SimpleNamespace(**CASES[name]))
    cos, sin = rotary(torch.zeros(1), torch.arange(length)[None])
    assert torch.equal(cos, TENSORS[f"{name}.cos"]) and torch.equal(sin, TENSORS[f"{name}.sin"])


@given(start=st.integers(0, 700), length=st.integers(1, 40), name=st.sampled_from(sorted(CASES)))
def test_the_table_says_what_the_positions_say(start: int, length: int, name: str) -> None:
    rotary, x = RotaryEmbedding(SimpleNamespace(**CASES[name])), torch.zeros(1)
    looked_up = rotary.rotation(x, start, length)
    computed = rotary.rotation_at(x, torch.arange(start, start + length)[None])
    for one, other in zip(looked_up, computed, strict=True):
        assert one.shape == (1, 1, length, 8) and torch.equal(one, other)


@pytest.mark.parametrize("pair", [(RotaryEmbedding, rotate), (InterleavedRotaryEmbedding, rotate_interleaved)])
def test_rotation_is_multiplication_by_a_unit_complex_number(pair: tuple) -> None:
    kind, apply = pair
    rotary, q = kind(config()), torch.randn(2, 3, 5, 8)
    halves = kind is RotaryEmbedding
    as_complex = torch.complex(q[..., :4], q[..., 4:]) if halves else torch.view_as_complex(q.unflatten(-1, (4, 2)))
    turned = as_complex * torch.polar(torch.ones(5, 4), torch.outer(torch.arange(7.0, 12.0), rotary.inv_freq))
    parts = (turned.real, turned.imag)
    expected = torch.cat(parts, -1) if halves else torch.stack(parts, -1).flatten(-2)
    torch.testing.assert_close(apply(q, rotary.rotation(q, 7, 5)), expected)


def test_scores_depend_on_distance_alone() -> None:
    rotary, q, k = RotaryEmbedding(config()), torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(at: int, to: int) -> torch.Tensor:
        return (rotate(q, rotary.rotation(q, at, 1)) * rotate(k, rotary.rotation(k, to, 1))).sum()

    torch.testing.assert_close(score(50, 43), score(9, 2))


def test_partial_rotation_leaves_the_rest_alone() -> None:
    rotary, q = RotaryEmbedding(config(partial_rotary_factor=0.5)), torch.randn(1, 2, 3, 8)
    turned = rotate_first(q, rotary.rotation(q, 1, 3))
    assert torch.equal(turned[..., 4:], q[..., 4:])
    assert torch.equal(turned[..., :4], rotate(q[..., :4], rotary.rotation(q, 1, 3)))


def test_a_call_does_not_depend_on_earlier_ones() -> None:
    rotary, x = RotaryEmbedding(SimpleNamespace(**CASES["dynamic.20"])), torch.zeros(1)
    short = rotary(x, torch.arange(70)[None])
    rotary(x, torch.arange(300)[None])
    assert all(map(torch.equal, rotary(x, torch.arange(70)[None]), short))


def test_frequencies_stay_exact_and_on_the_cpu() -> None:
    rotary = RotaryEmbedding(config())
    exact = rotary.inv_freq.clone()
    assert torch.equal(rotary.half().inv_freq, exact)
    assert rotary.rotation(torch.zeros(1, dtype=torch.float16), 0, 3)[0].dtype == torch.float16
    with torch.device("meta"):
        on_meta = RotaryEmbedding(config())
    assert torch.equal(on_meta.inv_freq, exact) and torch.equal(on_meta.to_empty(device="cpu").inv_freq, exact)
    assert not rotary.state_dict()


def test_the_table_serves_training_after_inference_and_travels() -> None:
    rotary, q = RotaryEmbedding(config()), torch.randn(1, 1, 2, 8, requires_grad=True)
    with torch.inference_mode():
        rotary.rotation(torch.zeros(1), 0, 2)
    rotate(q, rotary.rotation(q, 0, 2)).sum().backward()
    assert q.grad is not None
    for twin in (copy.deepcopy(rotary), pickle.loads(pickle.dumps(rotary))):
        assert torch.equal(twin.rotation(q, 0, 2)[0], rotary.rotation(q, 0, 2)[0])


class Stateful(torch.nn.Module):
    """A rotary module as third parties write it, on the documented decorator."""

    def __init__(self, settings: SimpleNamespace) -> None:
        super().__init__()
        inner = RotaryEmbedding(settings)
        self.config, self.rope_type, self.rope_init_fn = settings, inner.rope_type, inner.rope_init_fn
        self.inv_freq, self.attention_scaling = inner.inv_freq, inner.attention_scaling
        self.original_inv_freq = self.inv_freq
        self.max_seq_len_cached = self.original_max_seq_len = settings.max_position_embeddings

    @dynamic_rope_update
    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        return (position_ids[..., None].float() * self.inv_freq).cos() * self.attention_scaling


@pytest.mark.parametrize("kind", ["default", "dynamic", "longrope"])
def test_the_documented_decorator_updates_frequencies(kind: str) -> None:
    rotary, x = Stateful(SimpleNamespace(**CASES[f"{kind}.20"])), torch.zeros(1)
    for length in (20, 90, 20):
        cos = rotary(x, torch.arange(length)[None])
        torch.testing.assert_close(cos, TENSORS[f"{kind}.{length}.cos"][..., :4], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ("linear", "must be null or an object"),
        ({"factor": 2.0}, "must name its rope_type"),
        ({"rope_type": "linear"}, "'linear' needs factor"),
        ({"rope_type": "llama3", "factor": 8.0}, "original_max_position_embeddings, low_freq_factor, high_freq_factor"),
        ({"rope_type": "linear", "factor": "2"}, "factor must be a positive number, not '2'"),
        ({"rope_type": "yarn", "factor": -1.0}, "must be a positive number"),
        ({"rope_type": "longrope", "short_factor": [1], "long_factor": "x"}, "long_factor must be a list of numbers"),
        (
            {"rope_type": "llama3", "factor": 2.0, "original_max_position_embeddings": 9, "low_freq_factor": 4.0,
             "high_freq_factor": 1.0},
            "must be above its low_freq_factor",
        ),
    ],
)  # fmt: skip
def test_bad_scaling_is_refused(scaling: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settle_rope_scaling(config(rope_scaling=scaling))


def test_an_unknown_kind_is_refused_when_the_model_is_built() -> None:
    settings = config(rope_scaling={"rope_type": "spiral"})
    settle_rope_scaling(settings)  # a plugin's own kind may be fine: only warned about
    with pytest.raises(ValueError, match="rope_type 'spiral'; the known ones are default, linear"):
        RotaryEmbedding(settings)
