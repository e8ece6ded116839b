"""Whisper equals the reference on recorded answers: outputs, states, attentions, losses, gradients, transcripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xf
from xf_testing.reference import answer_case, assert_same_outputs, load_golden

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import whisper_cases  # noqa: E402
import whisper_tiny  # noqa: E402

GOLDENS = sorted((HERE / "goldens").glob("whisper_*.safetensors"))
ANSWERS = json.loads((HERE / "goldens" / "answers.json").read_text("utf-8"))
FEATURES = np.load(HERE / "goldens" / "features.npz")


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whisper_tiny.write_tokenizer(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def model() -> Any:
    made = xf.WhisperForConditionalGeneration(xf.WhisperConfig(**whisper_tiny.model_settings())).eval()
    whisper_tiny.fill(made)
    made.tie_weights()
    made.generation_config = xf.GenerationConfig(**whisper_tiny.generation_settings())
    return made


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 6


@pytest.mark.parametrize("attention", ["eager", None])
@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    if attention is None and "decoder_attention_mask" in inputs:  # padding sees nothing: what stands there is arbitrary
        real = inputs["decoder_attention_mask"].bool()
        torch.testing.assert_close(
            ours["last_hidden_state"][real], expected["last_hidden_state"][real], atol=1e-5, rtol=1e-5
        )
        return
    assert_same_outputs(ours, expected)


def test_decoding_is_that_of_the_reference(folder: Path) -> None:
    tokenizer = xf.WhisperTokenizerFast.from_pretrained(folder)
    ours = [tokenizer.decode(ids, **arguments) for ids, arguments in whisper_cases.decodings()]
    assert as_json(ours) == ANSWERS["decoded"]


def test_joined_transcripts_are_those_of_the_reference(folder: Path) -> None:
    tokenizer = xf.WhisperTokenizerFast.from_pretrained(folder)
    for (outputs, arguments), expected in zip(whisper_cases.recordings(), ANSWERS["joined"], strict=True):
        tensors = [
            {name: value if name == "stride" else torch.tensor([value]) for name, value in output.items()}
            for output in outputs
        ]
        assert as_json(tokenizer._decode_asr(tensors, **arguments)) == expected


def test_prefixes_are_those_of_the_reference(folder: Path) -> None:
    tokenizer = xf.WhisperTokenizer.from_pretrained(folder, language="german", task="translate")
    assert tokenizer("hello world")["input_ids"] == ANSWERS["labels"]
    assert tokenizer.get_prompt_ids("hello world").tolist() == ANSWERS["prompt"]
    assert as_json(tokenizer.get_decoder_prompt_ids(task="transcribe", language="spanish")) == ANSWERS["decoder_prompt"]


def test_standardized_texts_are_those_of_the_reference() -> None:
    from xf_plugin_whisper.normalization import BasicTextNormalizer, EnglishTextNormalizer

    english, basic = EnglishTextNormalizer(whisper_tiny.SPELLING), BasicTextNormalizer(remove_diacritics=True)
    assert [english(text) for text in whisper_cases.texts()] == ANSWERS["english"]
    assert [basic(text) for text in whisper_cases.texts()] == ANSWERS["basic"]


def test_features_are_those_of_the_reference() -> None:
    compared = 0
    for number, (settings, waveforms, arguments) in enumerate(whisper_cases.sounds()):
        extractor = xf.WhisperFeatureExtractor(**settings)
        batch = extractor(waveforms, sampling_rate=16000, return_tensors="np", **arguments)
        for name, value in batch.items():
            expected = FEATURES[f"{number}/{name}"]
            assert value.dtype == expected.dtype
            np.testing.assert_allclose(value[..., :120], expected, atol=2e-5)
            compared += 1
    assert compared == len(FEATURES.files)


@pytest.mark.parametrize(
    ("name", "shape", "arguments"), whisper_cases.generations(), ids=[case[0] for case in whisper_cases.generations()]
)
def test_transcripts_are_those_of_the_reference(model: Any, name: str, shape: Any, arguments: Any) -> None:
    inputs = whisper_tiny.features(*shape)
    ours = model.generate(inputs, **whisper_tiny.as_tensors(arguments, shape))
    expected = ANSWERS["generated"][name]
    if isinstance(ours, torch.Tensor):
        assert ours.tolist() == expected
        return
    assert ours["sequences"].tolist() == expected["sequences"]
    for row, golden in zip(ours.get("segments", []), expected.get("segments", []), strict=True):
        assert len(row) == len(golden)
        for segment, answer in zip(row, golden, strict=True):
            assert segment["tokens"].tolist() == answer["tokens"] and list(segment["idxs"]) == answer["idxs"]
            times = (float(segment["start"]), float(segment["end"]))
            assert times == pytest.approx((answer["start"], answer["end"]))
            if "token_timestamps" in answer:
                assert segment["token_timestamps"].tolist() == pytest.approx(answer["token_timestamps"], abs=0.021)


def test_languages_are_those_of_the_reference(model: Any) -> None:
    assert model.detect_language(whisper_tiny.features(3, 3000)).tolist() == ANSWERS["generated"]["detected"]
