"""Speech to text: CTC as recorded from the reference, Whisper through the front door, and bad input."""

from __future__ import annotations

import io
import json
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

import xf
from xf_plugin_automatic_speech_recognition import decoder, sound
from xf_plugin_automatic_speech_recognition.pipeline import AutomaticSpeechRecognitionPipeline, _join_texts
from xf_testing import PipelineConformance

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "asr_ctc.json").read_text("utf-8"))
SOUND = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
SYMBOLS = {index: token for token, index in GOLDEN["vocabulary"].items()}


class Extractor:
    """Hands samples on, with a mask."""

    sampling_rate = 16000
    padding_value = 0.0

    def __call__(self, samples: Any, sampling_rate: int, **options: Any) -> dict[str, torch.Tensor]:
        assert sampling_rate == self.sampling_rate
        values = torch.as_tensor(samples, dtype=torch.float32)[None]
        return {"input_values": values, "attention_mask": torch.ones(values.shape, dtype=torch.long)}


class CtcTokenizer:
    """The documented CTC decoding: repeats are one, padding is nothing, | is a space."""

    pad_token_id = 0
    padding_side = "right"
    replace_word_delimiter_char = " "

    def decode(self, ids: Any, skip_special_tokens: bool = False, output_char_offsets: bool = False) -> Any:
        offsets, position = [], 0
        for token, group in groupby(int(i) for i in ids):
            length = len(list(group))
            if token != self.pad_token_id:
                char = {"|": " "}.get(SYMBOLS[token], SYMBOLS[token])
                offsets.append({"char": char, "start_offset": position, "end_offset": position + length})
            position += length
        text = "".join(item["char"] for item in offsets)
        if not output_char_offsets:
            return text.strip()
        return {"text": text.strip(), "char_offsets": offsets}

    def _get_word_offsets(self, offsets: Any, delimiter: str) -> Any:
        words = []
        for is_space, group in groupby(offsets, key=lambda item: item["char"] == delimiter):
            items = list(group)
            if not is_space:
                word = "".join(item["char"] for item in items)
                span = {"start_offset": items[0]["start_offset"], "end_offset": items[-1]["end_offset"]}
                words.append({"word": word, **span})
        return words


class CtcModel(torch.nn.Module):
    """Says what it was told to say, call after call."""

    main_input_name = "input_values"

    def __init__(self, heard: list[list[int]]) -> None:
        super().__init__()
        self.heard = list(heard)
        self.name_or_path = ""
        self.config = SimpleNamespace(inputs_to_logits_ratio=GOLDEN["ratio"])

    def forward(self, input_values: torch.Tensor, attention_mask: Any = None) -> Any:
        ids = torch.tensor([self.heard.pop(0)])
        return SimpleNamespace(logits=torch.nn.functional.one_hot(ids, len(SYMBOLS)).float() * 9)


def ctc(heard: list[list[int]], **parameters: Any) -> AutomaticSpeechRecognitionPipeline:
    return AutomaticSpeechRecognitionPipeline(
        CtcModel(heard), feature_extractor=Extractor(), tokenizer=CtcTokenizer(), **parameters
    )


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: json.dumps(case["call"]))
def test_ctc_is_that_of_the_reference(case: Any) -> None:
    inputs: Any = SOUND
    if "stride" in case:
        inputs = {"raw": SOUND[:8000], "sampling_rate": 16000, "stride": case["stride"]}
    pipe = ctc(case["heard"])
    result = pipe(inputs, **case["call"])
    expected = case["result"]
    assert pipe.type == "ctc" and not pipe.model.heard
    assert result["text"] == expected["text"]
    assert len(result.get("chunks", [])) == len(expected.get("chunks", []))
    for ours, theirs in zip(result.get("chunks", []), expected.get("chunks", []), strict=True):
        assert ours["text"] == theirs["text"]
        assert ours["timestamp"] == pytest.approx(theirs["timestamp"])


def test_a_language_model_searches_the_logits() -> None:
    class Search:
        def decode_beams(self, logits: Any, beam_width: int = 1) -> Any:
            assert logits.shape == (4, len(SYMBOLS)) and beam_width == 3
            return [("A B", None, [("A", (0, 2)), ("B", (3, 4))])]

    pipe = ctc([[5, 5, 4, 6]], decoder=Search())
    result = pipe(SOUND[:1280], return_timestamps="word", decoder_kwargs={"beam_width": 3})
    assert pipe.type == "ctc_with_lm"
    assert [chunk["text"] for chunk in result["chunks"]] == ["A", "B"]
    assert result["chunks"][1]["timestamp"] == pytest.approx((3 * 320 / 16000, 4 * 320 / 16000))
    with pytest.raises(ValueError, match="'word'"):
        pipe(SOUND, return_timestamps="char")


def test_a_checkpoint_with_a_language_model_needs_its_package(tmp_path: Path, caplog: Any, monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyctcdecode", None)
    (tmp_path / "alphabet.json").write_text("{}")
    assert decoder.load_ctc_decoder(SimpleNamespace(name_or_path=str(tmp_path))) is None
    assert decoder.load_ctc_decoder(SimpleNamespace(name_or_path=str(tmp_path / "absent"))) is None


# ---- a model that generates, whose texts are joined by their overlap


class Speaker(torch.nn.Module):
    """Generates what it was told, call after call."""

    main_input_name = "input_values"

    def __init__(self, heard: list[list[int]]) -> None:
        super().__init__()
        self.heard = list(heard)
        self.config = SimpleNamespace()
        self.generation_config = None

    def generate(self, features: torch.Tensor, attention_mask: Any = None, **options: Any) -> torch.Tensor:
        return torch.tensor([self.heard.pop(0)])


def test_texts_of_chunks_are_joined_where_they_agree() -> None:
    tokenizer = SimpleNamespace(
        all_special_ids=[0, 1], pad_token_id=0, decode=lambda ids, skip_special_tokens: " ".join(map(str, ids))
    )
    pipe = AutomaticSpeechRecognitionPipeline.__new__(AutomaticSpeechRecognitionPipeline)
    pipe.__class__ = type("Pipe", (AutomaticSpeechRecognitionPipeline,), {"calls_generate": False})
    pipe.generation_config = None
    pipe.__init__(  # type: ignore[misc]
        Speaker([[1, 5, 6, 7, 8, 0], [1, 7, 8, 9, 0]]), feature_extractor=Extractor(), tokenizer=tokenizer
    )
    assert pipe.type == "seq2seq"
    result = pipe(SOUND, chunk_length_s=1, stride_length_s=0.2, ignore_warning=True)
    assert result == {"text": "5 6 7 8 9"}
    with pytest.raises(ValueError, match="apart from Whisper"):
        pipe(SOUND, return_timestamps=True)
    with pytest.raises(ValueError, match="Only Whisper"):
        pipe(SOUND, return_language=True)
    with pytest.raises(ValueError, match="Stride"):
        pipe({"raw": SOUND, "sampling_rate": 16000, "stride": (100, 100)})


@given(st.lists(st.integers(2, 9), max_size=12), st.integers(2, 12), st.integers(2, 6))
def test_joining_keeps_both_ends(ids: list[int], size: int, overlap: int) -> None:
    first, second = ids[:size], ids[max(size - overlap, 0) :]
    joined = _join_texts([torch.tensor([first], dtype=torch.long), torch.tensor([second], dtype=torch.long)], [0])
    assert joined[: len(first)] == first
    assert not second or len(joined) >= len(second)


# ---- Whisper


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper"))


def write_whisper(folder: Path) -> Path:
    """A tiny random Whisper of 1 s windows, saved with all its parts."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers import decoders as token_decoders

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = token_decoders.ByteLevel()
    names = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|startofprev|>"]
    names += ["<|nospeech|>", "<|notimestamps|>"]
    backend.add_special_tokens(names)
    backend.add_tokens([f"<|{step * 0.02:.2f}|>" for step in range(51)])
    tokenizer = xf.WhisperTokenizerFast(tokenizer_object=backend, pad_token=names[0], additional_special_tokens=names)
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    sizes |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_mel_bins": 8}
    ends = {"pad_token_id": 256, "bos_token_id": 256, "eos_token_id": 256, "decoder_start_token_id": 257}
    torch.manual_seed(0)
    config = xf.WhisperConfig(
        **sizes, **ends, vocab_size=315, max_source_positions=50, max_target_positions=40, init_std=0.5,
        begin_suppress_tokens=None,
    )  # fmt: skip
    model = xf.WhisperForConditionalGeneration(config)
    model.generation_config = xf.GenerationConfig(
        **ends, max_length=16, no_timestamps_token_id=263, is_multilingual=True, lang_to_id={"<|en|>": 258},
        task_to_id={"translate": 259, "transcribe": 260}, alignment_heads=[[0, 0]], prev_sot_token_id=261,
        suppress_tokens=list(range(257, 263)), return_timestamps=False, max_initial_timestamp_index=20,
    )  # fmt: skip
    model.save_pretrained(folder)
    extractor = xf.WhisperFeatureExtractor(feature_size=8, chunk_length=1)
    xf.WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


def transcriber(folder: Path, **parameters: Any) -> Any:
    return xf.pipeline("automatic-speech-recognition", model=str(folder), **parameters)


SHORT = SOUND[:12000] * 0.1


class TestSpeechRecognition(PipelineConformance):
    name = "automatic-speech-recognition"
    inputs = (SHORT, SHORT[:8000], SOUND[4000:9000])
    wrong = (object(), np.zeros((2, 2, 2)), "no such file.wav")

    @pytest.fixture(autouse=True)
    def _folder(self, whisper: Path) -> None:
        self.folder = whisper

    def make_pipeline(self, **parameters: Any) -> Any:
        return transcriber(self.folder, **parameters)


def test_every_kind_of_input_gives_the_same(whisper: Path, tmp_path: Path) -> None:
    pipe = transcriber(whisper)
    assert pipe.type == "seq2seq_whisper"
    expected = pipe(SHORT)
    path = tmp_path / "speech.wav"
    soundfile.write(path, SHORT, 16000, subtype="FLOAT")
    for inputs in (str(path), path.read_bytes(), torch.from_numpy(SHORT), {"sampling_rate": 16000, "raw": SHORT}):
        assert pipe(inputs) == expected
    assert pipe(np.stack([SHORT, SHORT])) == expected
    more = pipe({"sampling_rate": 16000, "array": SHORT, "path": "x", "speaker": 3})
    assert more == {**expected, "speaker": [3]}


def test_other_rates_are_resampled(whisper: Path) -> None:
    seconds = np.arange(44100) / 44100
    tone = np.sin(2 * np.pi * 300 * seconds).astype(np.float32)
    samples, stride, extra = sound.read_sound({"raw": tone, "sampling_rate": 44100, "stride": (4410, 0)}, 16000)
    assert len(samples) == 16000 and stride == (16000, 1600, 0) and extra == {}
    assert np.abs(np.fft.rfft(samples)).argmax() == 300


@pytest.mark.parametrize("timestamps", [True, "word"])
def test_times_lie_in_the_recording_and_grow(whisper: Path, timestamps: Any) -> None:
    pipe = transcriber(whisper)
    result = pipe(SOUND, return_timestamps=timestamps, return_language=True)
    spans = [chunk["timestamp"] for chunk in result["chunks"]]
    assert spans and all({"text", "timestamp", "language"} == set(chunk) for chunk in result["chunks"])
    assert all(0 <= start and (end is None or start <= end) for start, end in spans)
    assert "".join(chunk["text"] for chunk in result["chunks"]) == result["text"]


def test_chunks_in_batches_are_chunks_one_by_one(whisper: Path) -> None:
    pipe = transcriber(whisper)
    common = {"chunk_length_s": 0.9, "stride_length_s": (0.2, 0.1), "return_timestamps": "word"}
    assert pipe(SOUND, batch_size=3, **common) == pipe(SOUND, **common)


def test_arguments_of_generate_reach_it(whisper: Path) -> None:
    pipe = transcriber(whisper, generate_kwargs={"num_beams": 1})
    short = pipe(SHORT, generate_kwargs={"max_new_tokens": 2, "language": "en"})
    assert len(short["text"]) <= len(pipe(SHORT)["text"])
    with pytest.raises(ValueError, match="klingon"):
        pipe(SHORT, generate_kwargs={"language": "klingon"})


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        (SHORT[:0], ValueError, "no samples"),
        (5, TypeError, "not int"),
        ({"raw": SHORT}, ValueError, "sampling_rate"),
        ({"raw": SHORT, "sampling_rate": 16000, "stride": (9000, 9000)}, ValueError, "Stride is too large"),
        (np.zeros((16000, 2)), ValueError, "Transpose"),
        (b"", ValueError, "is empty"),
        (np.array([np.nan, 1.0]), ValueError, "NaN"),
        ("absent.wav", FileNotFoundError, "absent.wav"),
    ],
)
def test_bad_sound_is_refused(whisper: Path, inputs: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        transcriber(whisper)(inputs)


def test_a_file_that_is_no_sound_is_refused(whisper: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no ffmpeg
    (tmp_path / "notes.txt").write_text("This is a text. " * 100)
    with pytest.raises(ValueError, match="not audio"):
        transcriber(whisper)(str(tmp_path / "notes.txt"))
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(0, np.float32), 16000, format="WAV")
    with pytest.raises(ValueError, match="no samples"):
        transcriber(whisper)(buffer.getvalue())


def test_timestamps_that_a_kind_of_model_lacks_are_refused(whisper: Path) -> None:
    with pytest.raises(ValueError, match="segment level"):
        transcriber(whisper)(SHORT, return_timestamps="char")
    with pytest.raises(ValueError, match="return_timestamps='char'"):
        ctc([[5]])(SOUND, return_timestamps=True)
    with pytest.raises(ValueError, match="superior to stride"):
        transcriber(whisper)(SHORT, chunk_length_s=1, stride_length_s=0.5)


@given(st.integers(1, 400), st.integers(3, 60), st.integers(0, 20), st.integers(0, 20))
def test_chunks_cover_the_recording_once_without_their_strides(length: int, size: int, left: int, right: int) -> None:
    if size <= left + right:
        return
    samples = np.arange(length)
    kept = []
    lasts = []
    for piece, (total, own_left, own_right), is_last in sound.chunks(samples, size, left, right):
        assert total == len(piece)
        kept.extend(piece[own_left : total - own_right].tolist())
        lasts.append(is_last)
    assert kept == samples.tolist()
    assert lasts[-1] and not any(lasts[:-1])
