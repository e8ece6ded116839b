"""Watermarks equal the reference's on recorded answers; detectors tell marked text; settings are checked."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import xf
from xf_generation.configuration import GenerationConfig
from xf_generation.watermark.configs import SynthIDTextWatermarkingConfig, WatermarkingConfig
from xf_testing.logits import LogitsProcessorConformance
from xf_testing.logits import V as VOCABULARY

torch.set_num_threads(1)
HERE = Path(__file__).parent
GREEN = {"greenlist_ratio": 0.4, "bias": 4.0, "seeding_scheme": "lefthash"}
SYNTHID = {"ngram_len": 3, "keys": [7, 30, 301, 4, 77, 9], "sampling_table_size": 1024}


def recording() -> Any:
    """The script that recorded the answers: it asks xf the same questions."""
    spec = importlib.util.spec_from_file_location("record_watermark_goldens", HERE / "record_watermark_goldens.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_answers_are_those_of_the_reference() -> None:
    expected, ours = load_file(HERE / "goldens" / "watermark.safetensors"), recording().answers(xf)
    assert set(ours) == set(expected) and len(expected) > 300
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(ours[name], value, atol=1e-6, rtol=1e-6, msg=lambda text, n=name: f"{n}: {text}")
        else:
            assert torch.equal(ours[name], value), name


class _Marking(LogitsProcessorConformance):
    def make_context(self, **changes: Any) -> Any:
        config = SimpleNamespace(get_text_config=lambda decoder: SimpleNamespace(vocab_size=VOCABULARY))
        return super().make_context(**{"model": SimpleNamespace(config=config), **changes})


class TestGreenListConformance(_Marking):
    name = "watermarking_config"
    settings = {"watermarking_config": WatermarkingConfig(bias=3.0)}


class TestSelfHashConformance(_Marking):
    name = "watermarking_config"
    settings = {"watermarking_config": WatermarkingConfig(seeding_scheme="selfhash", context_width=3)}


class TestSynthIDConformance(_Marking):
    name = "synthid_watermarking"
    settings = {"watermarking_config": SynthIDTextWatermarkingConfig(**SYNTHID)}


# ---- detection ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> Any:
    return recording().tiny_model(xf)


def written(model: Any, config: Any, rows: int = 6, tokens: int = 60, seed: int = 0) -> torch.Tensor:
    """Answers (rows, tokens) without their prompts."""
    prompt = torch.randint(3, 99, (rows, 5), generator=torch.Generator().manual_seed(seed))
    settings = {"do_sample": True, "top_k": 0, "max_new_tokens": tokens, "seed": seed, "eos_token_id": None}
    return model.generate(prompt, watermarking_config=config, temperature=2.0, **settings)[:, 5:]


@pytest.mark.parametrize("scheme", ["lefthash", "selfhash"])
def test_the_detector_tells_marked_text_from_other_text(model: Any, scheme: str) -> None:
    config = WatermarkingConfig(**{**GREEN, "seeding_scheme": scheme, "context_width": 2})
    detector = xf.WatermarkDetector(model.config, "cpu", config)
    assert detector(written(model, config), z_threshold=3.0).all()
    found = detector(written(model, None), z_threshold=3.0, return_dict=True)
    assert isinstance(found, xf.WatermarkDetectorOutput)
    assert not found.prediction.any() and (found.num_tokens_scored == 60 - 1 - (scheme == "lefthash")).all()
    other_key = xf.WatermarkDetector(model.config, "cpu", {**config.to_dict(), "hashing_key": 11})
    assert not other_key(written(model, config)).any()


def test_repeated_ngrams_count_once_if_asked() -> None:
    config, text = xf.LlamaConfig(vocab_size=50, bos_token_id=None), torch.tensor([[5, 6] * 8, list(range(16))])
    every = xf.WatermarkDetector(config, "cpu", WatermarkingConfig())(text, return_dict=True)
    once = xf.WatermarkDetector(config, "cpu", WatermarkingConfig(), ignore_repeated_ngrams=True)(
        text, return_dict=True
    )
    assert every.num_tokens_scored.tolist() == [15, 15] and once.num_tokens_scored.tolist() == [2, 15]
    assert every.num_green_tokens[1] == once.num_green_tokens[1]


def test_texts_that_are_too_short_to_score() -> None:
    config = xf.LlamaConfig(vocab_size=50, bos_token_id=1)
    detector = xf.WatermarkDetector(config, "cpu", WatermarkingConfig(context_width=3))
    with pytest.raises(ValueError, match=r"3 tokens \(after the start token\) is too short: at least 4"):
        detector(torch.tensor([[1, 5, 6, 7]]))
    with pytest.raises(ValueError, match=r"must be \(batch, tokens\)"):
        detector(torch.tensor([5, 6, 7, 8]))
    processor = SynthIDTextWatermarkingConfig(**SYNTHID).construct_processor(50, "cpu")
    with pytest.raises(ValueError, match=r"has 2 tokens; at least 3 \(ngram_len\)"):
        processor.compute_g_values(torch.tensor([[1, 2]]))
    with pytest.raises(ValueError, match=r"must be \(batch, count, 3\)"):
        processor.compute_ngram_keys(torch.zeros(1, 2, 4, dtype=torch.long))


def test_the_bayesian_detector_learns_to_tell_marked_text(model: Any, tmp_path: Path) -> None:
    config = SynthIDTextWatermarkingConfig(**SYNTHID)
    processor = config.construct_processor(99, "cpu")
    texts = torch.cat([written(model, config, seed=1), written(model, None, seed=2)])
    labels = torch.tensor([1.0] * 6 + [0.0] * 6)
    detector = xf.BayesianDetectorModel(xf.BayesianDetectorConfig(watermarking_depth=len(config.keys)))
    detector.config.set_detector_information("tiny", config)
    inputs = {
        "g_values": processor.compute_g_values(texts),
        "mask": processor.compute_context_repetition_mask(texts),
        "labels": labels,
        "loss_batch_weight": 0.01,
    }
    optimizer = torch.optim.Adam(detector.parameters(), lr=0.1)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = detector(**inputs, return_dict=True).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    detector.save_pretrained(tmp_path)
    again = xf.BayesianDetectorModel.from_pretrained(tmp_path)
    assert again.config.watermarking_config == config.to_dict() and again.config.model_name == "tiny"
    tokenizer = SimpleNamespace(eos_token_id=2)
    with torch.no_grad():
        posterior = xf.SynthIDTextWatermarkDetector(again, processor, tokenizer)(
            torch.cat([written(model, config, seed=3), written(model, None, seed=4)])
        )[0]
    assert (posterior[:6] > 0.5).all() and (posterior[6:] < 0.5).all()


def test_a_mark_follows_its_beam() -> None:
    """Beams change places: what a row may not mark again is what its own text has, not what stood there before."""
    config, order = SynthIDTextWatermarkingConfig(**SYNTHID), torch.tensor([1, 0])
    text = torch.randint(3, 5, (2, 16), generator=torch.Generator().manual_seed(0))  # few tokens: contexts recur
    scores = torch.randn(16, 2, 99, generator=torch.Generator().manual_seed(1))
    straight, swapped = (config.construct_processor(99, "cpu") for _ in range(2))
    unmarked = 0
    for length in range(1, 16):
        expected = straight(text[:, :length], scores[length])
        rows = order if length % 3 == 0 else torch.arange(2)
        assert torch.equal(swapped(text[rows, :length], scores[length, rows]), expected[rows])
        unmarked += int((expected == scores[length]).all(dim=1).sum())
    assert 10 < unmarked < 30  # both happens


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeding_scheme": "minhash"}, "seeding_scheme is 'minhash'"),
        ({"greenlist_ratio": 1.0}, "greenlist_ratio is 1.0"),
        ({"bias": "much"}, "bias is 'much'"),
        ({"hashing_key": 2.5}, "hashing_key is 2.5"),
        ({"context_width": 0}, "context_width is 0"),
        ({"color": "green"}, r"WatermarkingConfig has no \['color'\]"),
        ({**SYNTHID, "keys": []}, r"keys is \[\]"),
        ({**SYNTHID, "ngram_len": 0}, "ngram_len is 0"),
        ({**SYNTHID, "context_history_size": 0}, "context_history_size is 0"),
        ({**SYNTHID, "sampling_table_size": 2**24 + 1}, "sampling_table_size is 16777217"),
        ("green", "must be a watermarking config or a dict, not 'green'"),
        ({"keys": [1]}, r"lacks \['ngram_len'\]"),
    ],
)
def test_settings_that_cannot_work(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenerationConfig(watermarking_config=settings)


def test_settings_as_data(tmp_path: Path) -> None:
    for config in (WatermarkingConfig(bias=3.0), SynthIDTextWatermarkingConfig(**SYNTHID)):
        config.to_json_file(tmp_path / "watermark.json")
        assert json.loads((tmp_path / "watermark.json").read_text()) == config.to_dict() == dict(iter(config))
        assert type(config).from_dict(config.to_dict()) == config
        GenerationConfig(watermarking_config=config).save_pretrained(tmp_path)
        assert GenerationConfig.from_pretrained(tmp_path).watermarking_config == config
    green = WatermarkingConfig()
    green.update(bias=1.0, unknown=2)
    assert green.bias == 1.0
    with pytest.raises(ValueError, match="greenlist_ratio is 7"):
        green.update(greenlist_ratio=7)
    assert green.greenlist_ratio == 0.25
    with pytest.raises(ValueError, match="watermarking_depth is None"):
        xf.BayesianDetectorModel(xf.BayesianDetectorConfig())


def test_a_text_shorter_than_the_context_is_not_marked() -> None:
    processor, scores = WatermarkingConfig(context_width=3).construct_processor(50, "cpu"), torch.randn(1, 50)
    assert torch.equal(processor(torch.tensor([[1, 2]]), scores), scores)
    marked = processor(torch.tensor([[1, 2, 3]]), scores) - scores
    assert int((marked > 1).sum()) == 12  # a quarter of 50, rounded down
    assert np.isclose(float(marked.max()), 2.0)
