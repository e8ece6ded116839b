"""The manager: threads, streams, cancelling, and what goes wrong in one request."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from continuous_models import gpt2, llama, one_by_one, ragged

from xf import ContinuousBatchingConfig, RequestStatus
from xf.interfaces.logits import LogitsProcessor

SMALL = ContinuousBatchingConfig(page_size=4, num_blocks=16)


def test_eight_threads_add_requests() -> None:
    model = llama()
    expected = {seed: one_by_one(model, ragged(5, 30, seed), max_new_tokens=6 + seed) for seed in range(8)}
    answers: dict[int, list[list[int]]] = {}
    config = ContinuousBatchingConfig(page_size=4, num_blocks=40)
    with model.init_continuous_batching(continuous_batching_config=config) as manager:

        def serve(seed: int) -> None:
            names = [manager.add_request(prompt, max_new_tokens=6 + seed) for prompt in ragged(5, 30, seed)]
            answers[seed] = [manager.get_result(name).generated_tokens for name in names]

        threads = [threading.Thread(target=serve, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert answers == expected


def test_generate_goes_on_in_another_thread() -> None:
    model, prompts = llama(), ragged(8, 30)
    expected = one_by_one(model, prompts, max_new_tokens=20)
    with model.init_continuous_batching(max_new_tokens=20) as manager:
        names = manager.add_requests(prompts)
        assert one_by_one(model, prompts, max_new_tokens=20) == expected
        assert [manager.get_result(name).generated_tokens for name in names] == expected


def test_streaming_yields_after_every_token() -> None:
    model = llama()
    with model.init_continuous_batching(max_new_tokens=6, eos_token_id=None) as manager:
        name = manager.add_request([9, 12], streaming=True)
        seen = [list(output.generated_tokens) for output in manager.request_id_iter(name)]
    whole = one_by_one(model, [[9, 12]], max_new_tokens=6, eos_token_id=None)[0]
    assert seen == [whole[: count + 1] for count in range(6)]


def test_leaving_a_stream_cancels_the_request() -> None:
    model = gpt2()
    with model.init_continuous_batching(max_new_tokens=100, eos_token_id=None) as manager:
        name = manager.add_request([9, 12], streaming=True)
        for output in manager.request_id_iter(name):
            assert len(output.generated_tokens) == 1
            break
        cancelled = manager.get_result(name, timeout=30)
    assert cancelled.status is RequestStatus.CANCELLED
    assert len(cancelled.generated_tokens) < 100


class Waiting(LogitsProcessor):
    """Holds the engine at the third token until it is told to go on."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] == 4:
            self.reached.set()
            assert self.go.wait(30)
        return scores


def test_cancel_while_it_runs_and_while_it_waits() -> None:
    model, holding = llama(), Waiting()
    settings = {"max_new_tokens": 20, "eos_token_id": None}
    one_at_a_time = ContinuousBatchingConfig(max_requests_per_batch=1)
    with model.init_continuous_batching(continuous_batching_config=one_at_a_time, **settings) as manager:
        running = manager.add_request([9, 12], logits_processor=[holding])
        waiting, other = manager.add_request([8]), manager.add_request([10, 11])
        assert holding.reached.wait(30)
        manager.cancel_request(running)
        manager.cancel_request(waiting)
        manager.cancel_request("nobody")
        holding.go.set()
        outputs = [manager.get_result(name, timeout=30) for name in (running, waiting, other)]
        assert manager.statistics()["pages_taken"] == 0
    assert [output.status.value for output in outputs] == ["cancelled", "cancelled", "finished"]
    assert len(outputs[0].generated_tokens) == 3
    assert outputs[1].generated_tokens == []
    assert outputs[2].generated_tokens == one_by_one(model, [[10, 11]], **settings)[0]


@pytest.mark.parametrize(
    ("prompt", "settings", "told"),
    [
        ([], {}, "empty"),
        ([9, 99], {}, "id 99"),
        ([9, -1], {}, "id -1"),
        (["a"], {}, "token ids"),
        ([9] * 60, {"max_new_tokens": 6}, "pool has 16"),
        ([9], {"max_new_tokens": 100}, "pool has 16"),
        ([9], {"num_beams": 3}, "greedy search and sampling"),
        ([9], {"max_new_tokens": 2, "min_new_tokens": 5}, "min_new_tokens"),
        ([9], {"max_new_token": 2}, "did you mean 'max_new_tokens'"),
        ([9], {"stop_strings": "x"}, "tokenizer"),
    ],
)
def test_bad_requests_are_refused_and_cost_others_nothing(prompt: Any, settings: dict[str, Any], told: str) -> None:
    model = llama()
    expected = one_by_one(model, [[9, 12]], max_new_tokens=5)[0]
    with model.init_continuous_batching(continuous_batching_config=SMALL) as manager:
        name = manager.add_request([9, 12], max_new_tokens=5)
        with pytest.raises(ValueError, match=told):
            manager.add_request(prompt, **{"max_new_tokens": 5, **settings})
        assert manager.get_result(name).generated_tokens == expected


def test_bad_prompts_in_a_batch_have_their_error_in_their_output() -> None:
    model = llama()
    good, empty, unknown, long = model.generate_batch(
        [[9, 12], [], [300], [9] * 90], max_new_tokens=5, continuous_batching_config=SMALL
    ).values()
    assert good.generated_tokens == one_by_one(model, [[9, 12]], max_new_tokens=5)[0]
    assert [output.status for output in (empty, unknown, long)] == [RequestStatus.FAILED] * 3
    assert "empty" in empty.error
    assert "300" in unknown.error
    assert "16" in long.error


class Broken(LogitsProcessor):
    """Fails, or makes scores of which none can be chosen, at the second token."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] < 3:
            return scores
        if self.how == "raises":
            raise KeyError("no such word")
        return scores * float("nan") if self.how == "nan" else torch.full_like(scores, float("-inf"))


@pytest.mark.parametrize(("how", "told"), [("raises", "no such word"), ("nan", "NaN"), ("-inf", "no token left")])
def test_a_processor_that_breaks_fails_its_own_request(how: str, told: str) -> None:
    model = llama()
    with model.init_continuous_batching(max_new_tokens=6, eos_token_id=None) as manager:
        broken, other = manager.add_request([9, 12], logits_processor=[Broken(how)]), manager.add_request([8, 11])
        outputs = [manager.get_result(name, timeout=30) for name in (broken, other)]
    assert outputs[0].status is RequestStatus.FAILED
    assert told in outputs[0].error
    assert len(outputs[0].generated_tokens) == 1
    assert outputs[1].generated_tokens == one_by_one(model, [[8, 11]], max_new_tokens=6, eos_token_id=None)[0]


def test_a_forward_that_breaks_fails_the_request_to_blame() -> None:
    model = gpt2(n_positions=16)  # tokens beyond the learned positions break the forward of everybody
    with model.init_continuous_batching(eos_token_id=None) as manager:
        beyond, other = manager.add_request([9] * 10, max_new_tokens=12), manager.add_request([8], max_new_tokens=12)
        outputs = [manager.get_result(name, timeout=30) for name in (beyond, other)]
    assert outputs[0].status is RequestStatus.FAILED
    assert outputs[1].generated_tokens == one_by_one(model, [[8]], max_new_tokens=12, eos_token_id=None)[0]


class Streamer:
    """Takes notes; closes after `most` tokens."""

    def __init__(self, most: int) -> None:
        self.seen: list[int] = []
        self.most, self.ended, self.closed = most, False, False

    def put(self, value: torch.Tensor) -> None:
        self.seen += value.reshape(-1).tolist()
        self.closed = len(self.seen) >= self.most

    def end(self) -> None:
        self.ended = True


def test_streamers_are_fed_and_may_close() -> None:
    model = llama()
    whole = one_by_one(model, [[9, 12]], max_new_tokens=6, eos_token_id=None)[0]
    patient, hasty = Streamer(100), Streamer(5)
    with model.init_continuous_batching(max_new_tokens=6, eos_token_id=None) as manager:
        names = [manager.add_request([9, 12], streamer=streamer) for streamer in (patient, hasty)]
        outputs = [manager.get_result(name) for name in names]
    assert patient.seen == [9, 12, *whole]
    assert patient.ended
    assert hasty.ended
    assert outputs[1].generated_tokens == whole[:3]
    assert outputs[1].finish_reason == "closed"


def test_stop_finishes_what_was_taken_and_a_hard_stop_does_not() -> None:
    model = llama()
    manager = model.init_continuous_batching(max_new_tokens=30, eos_token_id=None)
    names = manager.add_requests(ragged(6, 20))
    manager.start()
    with pytest.raises(RuntimeError, match="running already"):
        manager.start()
    manager.stop()
    assert all(len(manager.get_result(name).generated_tokens) == 30 for name in names)
    with pytest.raises(RuntimeError, match="stopped"):
        manager.add_request([9])
    with pytest.raises(ValueError, match="fetched before"):
        manager.get_result(names[0])
    manager.start()
    holding = Waiting()
    late = manager.add_request([9, 12], logits_processor=[holding])
    assert holding.reached.wait(30)
    manager.stop(block=False, hard_stop=True)
    holding.go.set()
    manager.join(30)
    assert manager.get_result(late).status is RequestStatus.CANCELLED
    assert not manager.is_running()


def test_results_of_all_in_a_loop() -> None:
    model = llama()
    with model.continuous_batching_context_manager(max_new_tokens=4) as manager:
        names = manager.add_requests(ragged(5, 10))
        assert {output.request_id for output in manager} == set(names)
        with pytest.raises(ValueError, match="called 'mine' already"):
            [manager.add_request([9], request_id="mine", max_new_tokens=50) for _ in range(2)]
        assert manager.get_result("mine", timeout=30).is_finished()
