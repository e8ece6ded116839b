"""Schedules, optimizers and collators: equal to the reference, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import xf
from xf import Adafactor, BertTokenizerFast, DataCollatorForLanguageModeling, get_scheduler, set_seed
from xf.data.data_collator import DataCollatorForMultipleChoice, DataCollatorWithFlattening, default_data_collator
from xf_training.distributed import DistributedTensorGatherer

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "training_parts.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    path.write_text("\n".join(GOLDEN["tokens"]))
    return BertTokenizerFast(str(path))


@pytest.mark.parametrize("case", GOLDEN["schedules"], ids=lambda c: f"{c[0]}-{c[1]}-{c[2]}-{sorted(c[3])}")
def test_a_schedule_equals_the_reference(case):
    name, warmup, total, kwargs, rates = case
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.37)
    schedule = get_scheduler(name, optimizer, warmup, total, kwargs)
    for rate in rates:
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, abs=1e-12)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("name", "kwargs", "words"),
    [
        ("nothing", {}, "linear"),
        ("linear", {"num_warmup_steps": 1}, "num_training_steps"),
        ("constant_with_warmup", {}, "num_warmup_steps"),
    ],
)
def test_a_schedule_says_what_it_needs(name, kwargs, words):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(ValueError, match=words):
        get_scheduler(name, optimizer, **kwargs)


@pytest.mark.parametrize("number", range(len(GOLDEN["batches"])))
def test_a_batch_equals_the_reference(number, tokenizer):
    name, kwargs, rows, side, answer = GOLDEN["batches"][number]
    tokenizer.padding_side = side
    set_seed(number)
    batch = getattr(xf, name)(tokenizer, **kwargs)(rows)
    assert {key: np.asarray(value).tolist() for key, value in batch.items()} == answer


def test_the_default_collator_takes_numbers_lists_arrays_and_objects():
    class Row:
        def __init__(self, x):
            self.x, self.label = x, 1.5

    assert default_data_collator([Row([1, 2])])["labels"].dtype == torch.float32
    batch = default_data_collator([{"label_ids": [1, 2], "x": np.ones(2), "name": "n", "none": None}] * 2)
    assert set(batch) == {"labels", "x"} and batch["x"].dtype == torch.float64 and batch["labels"].shape == (2, 2)
    with pytest.raises(ValueError, match="pads"):
        default_data_collator([{"x": [1]}, {"x": [1, 2]}])
    with pytest.raises(ValueError, match="no rows"):
        default_data_collator([])
    with pytest.raises(ValueError, match="'tf'"):
        default_data_collator([{"x": [1]}], return_tensors="tf")


def test_collators_refuse_what_cannot_work(tokenizer):
    with pytest.raises(ValueError, match=r"1\.2 together"):
        DataCollatorForLanguageModeling(tokenizer, mask_replace_prob=0.9, random_replace_prob=0.3)
    with pytest.raises(ValueError, match="mlm_probability=1.5"):
        DataCollatorForLanguageModeling(tokenizer, mlm_probability=1.5)
    with pytest.raises(ValueError, match=r"Rows \[1\]"):
        DataCollatorForMultipleChoice(tokenizer)([{"input_ids": [[1], [2]]}, {"input_ids": [[1]]}])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(5, 11), min_size=1, max_size=6), min_size=1, max_size=4))
def test_flattened_rows_keep_their_tokens_and_count_anew(rows):
    batch = DataCollatorWithFlattening(return_seq_idx=True, return_flash_attn_kwargs=True)(
        [{"input_ids": row} for row in rows]
    )
    assert batch["input_ids"].tolist() == [[token for row in rows for token in row]]
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    assert starts == batch["cu_seq_lens_q"][:-1].tolist() and len(starts) == len(rows)
    assert batch["labels"][0, starts].tolist() == [-100] * len(rows)
    assert batch["seq_idx"][0].tolist() == [i for i, row in enumerate(rows) for _ in row]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0.0, 1.0))
def test_masked_labels_are_the_tokens_that_were_there(tokenizer, seed, share):
    torch.manual_seed(seed)
    rows = [[2, 5, 6, 7, 3], [2, 9, 3]]
    batch = DataCollatorForLanguageModeling(tokenizer, mlm_probability=share)([{"input_ids": row} for row in rows])
    for i, row in enumerate(rows):
        places = range(len(row)) if tokenizer.padding_side == "right" else range(5 - len(row), 5)
        for place, token in zip(places, row, strict=True):
            label = int(batch["labels"][i, place])
            assert label in (-100, token) and not (label != -100 and token in (2, 3))
            assert label != -100 or int(batch["input_ids"][i, place]) == token


def test_adafactor_factors_matrices_and_refuses_contradictions():
    matrix, vector = torch.nn.Parameter(torch.ones(4, 3)), torch.nn.Parameter(torch.ones(5))
    optimizer = Adafactor([matrix, vector])
    for parameter in (matrix, vector):
        parameter.grad = torch.full_like(parameter, 0.5)
    optimizer.step()
    assert set(optimizer.state[matrix]) == {"step", "RMS", "exp_avg_sq_row", "exp_avg_sq_col"}
    # one equal gradient: the update is clipped to 1, times min(1e-2, 1/sqrt(1)), times the size of the weights, 1
    torch.testing.assert_close(matrix.detach(), torch.full((4, 3), 0.99))
    with pytest.raises(ValueError, match="relative_step=False"):
        Adafactor([matrix], lr=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 23), st.integers(1, 3))
def test_gathered_chunks_come_back_in_order(processes, rows, chunk):
    unit = processes * chunk
    total = -(-rows // unit) * unit
    index = np.resize(np.arange(rows), total).reshape(processes, -1)
    gatherer = DistributedTensorGatherer(processes, rows, make_multiple_of=chunk)
    for start in range(0, index.shape[1], chunk):
        gatherer.add_arrays(index[:, start : start + chunk].reshape(-1))
    assert gatherer.finalize().tolist() == list(range(rows))
