"""Random spans: as many as asked for, inside the input, and refused where they do not fit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xf_audio.spec_augment import random_spans


@given(
    st.integers(1, 4), st.integers(10, 60), st.floats(0, 1), st.integers(1, 10), st.integers(0, 3), st.integers(0, 99)
)
def test_spans_lie_inside_the_input(batch, length, probability, span, least, seed):
    np.random.seed(seed)
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[:, length - length // 3 :] = 0
    masked = random_spans((batch, length), probability, span, mask, least)
    assert masked.shape == (batch, length) and masked.dtype == bool
    assert not masked[mask.numpy() == 0].any()
    most = max(int(probability * length / span + 1), least)
    assert (masked.sum(axis=1) <= most * span).all()


def test_the_least_number_of_spans_is_kept():
    np.random.seed(0)
    masked = random_spans((5, 40), 0.0, 4, min_spans=2)
    assert (masked.sum(axis=1) >= 5).all() and (masked.sum(axis=1) <= 8).all()


@pytest.mark.parametrize("span", [0, 11])
def test_a_span_that_does_not_fit_is_refused(span):
    with pytest.raises(ValueError, match=f"span of {span} does not fit"):
        random_spans((1, 10), 0.5, span)
