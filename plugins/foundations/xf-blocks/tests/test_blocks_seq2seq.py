"""Parts of encoder-decoders: decoder inputs from labels, positions, head masks."""

from __future__ import annotations

import math

import pytest
import torch

from xf_blocks.seq2seq_heads import last_end_places
from xf_blocks.seq2seq_inputs import head_rows, shift_tokens_right, start_decoder_cache, wrap_last_token
from xf_blocks.seq2seq_positions import (
    BartPositions,
    LearnedPositions,
    PaddedSinusoidalPositions,
    SinusoidalPositions,
    sines,
)


def test_labels_are_shifted_behind_the_start_token() -> None:
    labels = torch.tensor([[5, 6, -100], [7, 8, 9]])
    assert shift_tokens_right(labels, 1, 2).tolist() == [[2, 5, 6], [2, 7, 8]]
    assert labels.tolist() == [[5, 6, -100], [7, 8, 9]]
    assert shift_tokens_right(torch.tensor([[-100, 4]]), 1, 2).tolist() == [[2, 1]]


@pytest.mark.parametrize(("pad", "start"), [(None, 2), (1, None)])
def test_shifting_needs_both_tokens(pad: int | None, start: int | None) -> None:
    with pytest.raises(ValueError, match="pad_token_id and config.decoder_start_token_id"):
        shift_tokens_right(torch.tensor([[4]]), pad, start)


def test_the_last_token_that_is_no_padding_goes_to_the_front() -> None:
    assert wrap_last_token(torch.tensor([[5, 6, 9], [7, 9, -100]]), 1).tolist() == [[9, 5, 6], [9, 7, 9]]
    with pytest.raises(ValueError, match="pad_token_id"):
        wrap_last_token(torch.tensor([[4]]), None)


def test_the_last_end_token_of_a_row() -> None:
    assert last_end_places(torch.tensor([[2, 4, 2, 1], [5, 2, 6, 2]]), 2).tolist() == [2, 3]


def test_learned_positions_begin_at_their_offset() -> None:
    states, positions = torch.zeros(1, 3, 4), torch.arange(1, 4)
    plain, bart = LearnedPositions(8, 4), BartPositions(8, 4)
    assert torch.equal(plain(None, states, positions), plain.weight[1:4])
    assert torch.equal(bart(None, states, positions), bart.weight[3:6])
    with pytest.raises(ValueError, match="Position 8 is beyond the 8"):
        bart(None, states, torch.tensor([8]))


def test_sines_then_cosines() -> None:
    table = sines(10, 6)
    for place in range(10):
        angles = [place / 10000 ** (2 * i / 6) for i in range(3)]
        wanted = torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
        torch.testing.assert_close(table[place], wanted)
    assert sines(4, 5).shape == (4, 5)
    assert torch.equal(SinusoidalPositions(10, 6).weight, table)


def test_padding_has_no_position_and_is_not_counted() -> None:
    positions = PaddedSinusoidalPositions(8, 6, padding_idx=1)
    ids = torch.tensor([[1, 1, 5, 6], [5, 6, 7, 1]])
    found = positions(ids, torch.zeros(2, 4, 6), torch.arange(4))
    assert torch.equal(found[0, :2], torch.zeros(2, 6)) and torch.equal(found[1, 3], torch.zeros(6))
    assert torch.equal(found[0, 2:], found[1, :2])
    step = positions(torch.tensor([[9]]), torch.zeros(1, 1, 6), torch.tensor([2]))
    assert torch.equal(step[0, 0], found[1, 2])
    assert torch.equal(positions(None, torch.zeros(2, 3, 6), torch.arange(3))[0], found[1, :3])


def test_head_masks_have_a_row_for_each_layer() -> None:
    assert head_rows(None, 2, "head_mask") == [None, None]
    assert [row.shape for row in head_rows(torch.ones(2, 3), 2, "head_mask")] == [(1, 3, 1, 1)] * 2
    with pytest.raises(ValueError, match=r"decoder_head_mask must be \(layers, heads\) for 2"):
        head_rows(torch.ones(3, 4), 2, "decoder_head_mask")


def test_older_tuples_become_a_cache() -> None:
    tensors = tuple(torch.ones(1, 2, length, 3) for length in (4, 4, 6, 6))
    cache = start_decoder_cache((tensors, tensors), use_cache=False)
    assert cache is not None and cache.get_seq_length() == 4 and cache.is_updated == {0: True, 1: True}
    assert start_decoder_cache(None, use_cache=False) is None
