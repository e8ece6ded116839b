"""The contracts of Whisper's parts, and what they do with bad input."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import xf
from xf_plugin_whisper import alignment, numbers
from xf_plugin_whisper.normalization import BasicTextNormalizer, EnglishTextNormalizer
from xf_plugin_whisper.segments import cut_into_segments
from xf_testing import FeatureExtractorConformance, ModelConformance, TokenizerConformance

sys.path.insert(0, str(Path(__file__).parent))
import whisper_tiny

SIZES = {
    "num_mel_bins": 4,
    "d_model": 8,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 12,
    "decoder_ffn_dim": 12,
    "max_source_positions": 10,
    "max_target_positions": 20,
    "vocab_size": 60,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "decoder_start_token_id": 4,
    "begin_suppress_tokens": None,
}


class TestWhisper(ModelConformance):
    name = "whisper"
    heads = ("base", "causal_lm", "pretraining", "speech_seq2seq")
    settings = SIZES
    has_padding = False  # silence is part of the encoder's input

    def make_labels(self, model: Any, head: str, inputs: Any) -> Any:
        found = super().make_labels(model, head, inputs)
        return {"labels": found["labels"]} if found else {}


class TestWhisperClasses(ModelConformance):
    name = "whisper"
    heads = ("audio_classification",)
    settings = SIZES
    has_padding = False
    has_token_embeddings = False

    def make_inputs(self, model: Any, head: str, batch: int = 2) -> Any:
        return {"input_features": super().make_inputs(model, head, batch)["input_features"]}

    def make_labels(self, model: Any, head: str, inputs: Any) -> Any:
        return {"labels": torch.arange(len(inputs["input_features"])) % 2}


class TestWhisperFeatures(FeatureExtractorConformance):
    name = "whisper"
    settings = {"chunk_length": 2}


class TestWhisperTokens(TokenizerConformance):
    name = "whisper"
    is_lossless = False  # clean_up_tokenization_spaces

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = whisper_tiny.write_tokenizer(tmp_path / "source")

    def make_tokenizer(self) -> Any:
        return xf.WhisperTokenizerFast.from_pretrained(self.folder)


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


# ---- model


def test_front_door(tmp_path: Path, model: Any, folder: Path) -> None:
    model.save_pretrained(tmp_path)
    xf.WhisperProcessor(
        xf.WhisperFeatureExtractor(feature_size=8), xf.WhisperTokenizerFast.from_pretrained(folder)
    ).save_pretrained(tmp_path)
    again = xf.AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path)
    assert type(again) is xf.WhisperForConditionalGeneration
    assert again.generation_config.lang_to_id == model.generation_config.lang_to_id
    processor = xf.AutoProcessor.from_pretrained(tmp_path)
    assert type(processor) is xf.WhisperProcessor
    sound = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    batch = processor(sound, sampling_rate=16000, text="hello world", return_tensors="pt")
    assert batch["input_features"].shape == (1, 8, 3000) and batch["labels"].shape[0] == 1
    assert torch.isfinite(again(**batch).loss)
    ours, theirs = (m.generate(batch["input_features"], max_new_tokens=4) for m in (model, again))
    assert torch.equal(ours, theirs)


def test_features_of_another_length_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match=r"\(batch, mel bins, 3000\)"):
        model(input_features=torch.zeros(1, 8, 2000), decoder_input_ids=torch.tensor([[5]]))
    with pytest.raises(ValueError, match="length 3000 or more"):
        model.generate(torch.zeros(1, 8, 2000))


def test_too_many_positions_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="beyond the 64"):
        model(input_features=torch.zeros(1, 8, 3000), decoder_input_ids=torch.full((1, 65), 5))
    with pytest.raises(ValueError, match="64 positions"):
        model(input_features=torch.zeros(1, 8, 3000), labels=torch.full((1, 65), 5))
    with pytest.raises(ValueError, match="more than the 64 positions"):
        model.generate(torch.zeros(1, 8, 3000), max_new_tokens=63)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="encoder_attention_heads"):
        xf.WhisperConfig(d_model=10, encoder_attention_heads=4)


def test_a_causal_model_leaves_its_config_alone() -> None:
    config = xf.WhisperConfig(**SIZES)
    assert not xf.WhisperForCausalLM(config).config.is_encoder_decoder
    assert config.is_encoder_decoder


def test_spans_are_masked_in_training_alone() -> None:
    config = xf.WhisperConfig(**SIZES, apply_spec_augment=True, mask_time_prob=0.5, mask_time_length=4)
    network = xf.WhisperModel(config)
    features = torch.ones(3, 4, 20)
    assert torch.equal(network.eval()._mask_input_features(features), features)
    np.random.seed(0)
    masked = network.train()._mask_input_features(features)
    zeros = (masked == 0).all(dim=1)
    assert bool(zeros.any(dim=1).all()) and not bool(zeros.all())
    assert torch.equal(features, torch.ones(3, 4, 20))


def test_a_classifier_starts_from_a_transcriber(tmp_path: Path) -> None:
    transcriber = xf.WhisperForConditionalGeneration(xf.WhisperConfig(**SIZES))
    transcriber.save_pretrained(tmp_path)
    classifier = xf.WhisperForAudioClassification.from_pretrained(tmp_path)
    for name, value in transcriber.model.encoder.state_dict().items():
        assert torch.equal(classifier.encoder.state_dict()[name], value)


def test_the_encoder_can_be_frozen() -> None:
    network = xf.WhisperForConditionalGeneration(xf.WhisperConfig(**SIZES))
    network.freeze_encoder()
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in network.named_parameters() if name.startswith("model.encoder.")}


# ---- generate


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"language": "klingon"}, "Unsupported language: klingon"),
        ({"language": "fr"}, "not in the `generation_config.lang_to_id`"),
        ({"language": ["de", "en"]}, "2 languages for 1 inputs"),
        ({"task": "sing"}, "'sing' is not supported"),
        ({"decoder_input_ids": torch.tensor([[1]])}, "prompt_ids"),
        ({"prompt_ids": [1, 2]}, "must be a tensor"),
        ({"prompt_condition_type": "all-segments"}, "condition_on_prev_tokens=True"),
        ({"prompt_condition_type": "never"}, "does not exist"),
        ({"forced_decoder_ids": [(2, 5)]}, "without gaps"),
        ({"is_multilingual": False, "language": "en"}, "English-only"),
        ({"temperature": ()}, "empty"),
        ({"maximum": 3}, "maximum"),
    ],
)
def test_settings_that_cannot_work_are_refused(model: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        model.generate(whisper_tiny.features(1, 3000), max_new_tokens=2, **arguments)


def test_long_input_needs_timestamps_and_batches_a_mask(model: Any) -> None:
    with pytest.raises(ValueError, match="return_timestamps=True"):
        model.generate(whisper_tiny.features(1, 4000), max_new_tokens=2)
    with pytest.raises(ValueError, match="attention_mask"):
        model.generate(whisper_tiny.features(2, 4000), max_new_tokens=2, return_timestamps=True)


def test_a_checkpoint_without_timestamps_or_times_of_tokens_says_so(model: Any) -> None:
    settings = whisper_tiny.generation_settings()
    del settings["alignment_heads"], settings["no_timestamps_token_id"]
    network = xf.WhisperForConditionalGeneration(model.config)
    network.generation_config = xf.GenerationConfig(**settings)
    inputs = whisper_tiny.features(1, 3000)
    with pytest.raises(ValueError, match="no_timestamps_token_id"):
        network.generate(inputs, return_timestamps=True)
    with pytest.raises(ValueError, match="alignment_heads"):
        network.generate(inputs, return_token_timestamps=True)


def test_forced_ids_of_older_checkpoints_are_used(model: Any) -> None:
    inputs = whisper_tiny.features(1, 3000)
    untimed = list(range(whisper_tiny.FIRST_TIMESTAMP, whisper_tiny.VOCAB_SIZE))
    wanted = {"max_new_tokens": 3, "return_dict_in_generate": True, "suppress_tokens": untimed}
    german = [(1, whisper_tiny.special("<|de|>")), (2, whisper_tiny.special("<|translate|>"))]
    forced = model.generate(inputs, forced_decoder_ids=german, **wanted).sequences
    named = model.generate(inputs, language="de", task="translate", **wanted).sequences
    assert torch.equal(forced, named)
    heard = [(1, None), (2, whisper_tiny.special("<|transcribe|>"))]
    begin = model.generate(inputs, forced_decoder_ids=heard, **wanted).sequences[0, :3].tolist()
    assert begin[1] == model.detect_language(inputs)[0] and begin[2] == whisper_tiny.special("<|transcribe|>")


def test_encoder_outputs_take_the_place_of_features(model: Any) -> None:
    inputs = whisper_tiny.features(2, 3000)
    encoded = model.model.encoder(inputs)
    wanted = {"max_new_tokens": 3, "language": "en", "return_dict_in_generate": True}
    wanted["suppress_tokens"] = list(range(whisper_tiny.FIRST_TIMESTAMP, whisper_tiny.VOCAB_SIZE))
    assert torch.equal(model.generate(encoder_outputs=encoded, **wanted).sequences[:, :7],
                       model.generate(inputs, force_unique_generate_call=True, **wanted).sequences[:, :7])  # fmt: skip
    with pytest.raises(ValueError, match="exactly one"):
        model.generate(inputs, encoder_outputs=encoded)


def test_poor_transcripts_are_decoded_again_at_the_next_temperature(model: Any) -> None:
    inputs = whisper_tiny.features(1, 3000)
    common = {"max_new_tokens": 8, "return_timestamps": True, "language": "en"}
    greedy = model.generate(inputs, **common)
    torch.manual_seed(0)
    again = model.generate(inputs, temperature=(0.0, 1.0), compression_ratio_threshold=0.0, **common)
    assert not torch.equal(greedy[:, :8], again[:, :8])
    kept = model.generate(inputs, temperature=(0.0, 1.0), compression_ratio_threshold=100.0, **common)
    assert torch.equal(greedy, kept)


def test_progress_is_told_before_each_window(model: Any) -> None:
    seen: list[list[int]] = []
    model.generate(
        whisper_tiny.features(1, 4400),
        max_new_tokens=4,
        return_timestamps=True,
        monitor_progress=lambda progress: seen.append(progress[0].tolist()),
    )
    assert seen[0] == [0, 4400] and len(seen) > 1 and all(a[0] < b[0] for a, b in zip(seen, seen[1:], strict=False))


def test_rows_of_a_batch_are_transcribed_as_if_alone(model: Any) -> None:
    inputs = whisper_tiny.features(3, 3000)
    common = {"max_new_tokens": 5, "return_timestamps": True, "language": "en"}
    batch = model.generate(inputs, **common)
    for row in range(3):
        alone = model.generate(inputs[row : row + 1], **common)[0]
        assert batch[row, : len(alone)].tolist() == alone.tolist()


@given(st.lists(st.integers(0, 199), min_size=1, max_size=12), st.integers(1, 3000))
def test_segments_keep_every_token_but_an_unfinished_end(tokens: list[int], frames: int) -> None:
    segments, covered = cut_into_segments(torch.tensor(tokens), torch.tensor(0.0), frames, 100, None, 2)
    kept = [token for segment in segments for token in segment["tokens"].tolist()]
    assert kept == tokens[: len(kept)] and segments[0]["idxs"][0] == 2
    assert covered == frames or tokens[len(kept) - 1] >= 100


# ---- alignment


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 1000))
def test_the_warped_path_is_monotonic_and_the_cheapest(tokens: int, moments: int, seed: int) -> None:
    cost = np.random.default_rng(seed).standard_normal((tokens, moments))
    text, time_ = alignment.dynamic_time_warping(cost)
    steps = np.stack([np.diff(text), np.diff(time_)], axis=1)
    assert (text[0], time_[0], text[-1], time_[-1]) == (0, 0, tokens - 1, moments - 1)
    assert ((steps >= 0) & (steps <= 1)).all() and (steps.sum(axis=1) > 0).all()
    best = np.full((tokens + 1, moments + 1), np.inf)
    best[0, 0] = 0
    for i in range(tokens):
        for j in range(moments):
            best[i + 1, j + 1] = cost[i, j] + min(best[i, j], best[i, j + 1], best[i + 1, j])
    assert cost[text, time_].sum() == pytest.approx(best[-1, -1])


@given(st.integers(1, 12), st.sampled_from([1, 3, 7]), st.integers(0, 1000))
def test_the_median_filter_takes_medians(length: int, width: int, seed: int) -> None:
    values = torch.randn(2, 3, length, generator=torch.Generator().manual_seed(seed))
    filtered = alignment.median_filter(values, width)
    if length <= width // 2:
        assert torch.equal(filtered, values)
        return
    padded = np.pad(values.numpy(), ((0, 0), (0, 0), (width // 2,) * 2), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=-1)
    np.testing.assert_array_equal(filtered.numpy(), np.median(windows, axis=-1))


def test_an_even_filter_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        alignment.median_filter(torch.zeros(3), 4)


# ---- tokenizer


def test_the_prefix_is_set_and_bad_names_change_nothing(folder: Path) -> None:
    tokenizer = xf.WhisperTokenizerFast.from_pretrained(folder)
    tokenizer.set_prefix_tokens(language="spanish", task="translate", predict_timestamps=True)
    begin = tokenizer("hello")["input_ids"]
    for wrong in ({"language": "klingon"}, {"language": "fr"}, {"task": "sing"}):
        with pytest.raises(ValueError):
            tokenizer.set_prefix_tokens(**wrong)
    assert tokenizer("hello")["input_ids"] == begin
    names = tokenizer.convert_ids_to_tokens(begin[:3])
    assert names == ["<|startoftranscript|>", "<|es|>", "<|translate|>"]
    tokenizer.get_decoder_prompt_ids(language="german", task="transcribe")
    assert tokenizer("hello")["input_ids"] == begin
    assert tokenizer.build_inputs_with_special_tokens([1], [2]) == [*begin[:3], 1, 2, begin[-1]]


def test_a_prompt_may_not_spell_special_tokens(folder: Path) -> None:
    tokenizer = xf.WhisperTokenizerFast.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"<\|en\|>"):
        tokenizer.get_prompt_ids("hello <|en|>")
    assert tokenizer.get_prompt_ids("hello", return_tensors="pt").dtype == torch.int64


def test_vocabulary_files_alone_make_the_same_tokenizer(folder: Path, tmp_path: Path) -> None:
    whole = xf.WhisperTokenizerFast.from_pretrained(folder)
    whole.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    rebuilt = xf.WhisperTokenizer.from_pretrained(tmp_path)
    for text in ("hello world", "a colour, the 日本 ", ""):
        assert rebuilt(text)["input_ids"] == whole(text)["input_ids"]
    assert rebuilt.english_spelling_normalizer == whisper_tiny.SPELLING
    assert rebuilt.get_vocab() == whole.get_vocab()


def test_times_of_words_follow_their_tokens_behind_a_prompt(folder: Path) -> None:
    tokenizer = xf.WhisperTokenizerFast.from_pretrained(folder)
    start, prompt = whisper_tiny.special("<|startoftranscript|>"), whisper_tiny.special("<|startofprev|>")
    zero, hello, world = whisper_tiny.FIRST_TIMESTAMP, *(tokenizer.get_vocab()[t] for t in ("Ġhello", "Ġworld"))
    ids = [prompt, hello, start, zero, hello, world, zero + 100]
    times = [0.0, 0.0, 0.0, 0.0, 0.5, 1.5, 2.0]
    outputs = [{"tokens": torch.tensor([ids]), "token_timestamps": torch.tensor([times])}]
    text, found = tokenizer._decode_asr(outputs, return_timestamps="word", return_language=False, time_precision=0.02)
    assert text == " hello world"
    assert [(word["text"], word["timestamp"]) for word in found["chunks"]] == [
        (" hello", (0.0, 0.5)),
        (" world", (0.5, 1.5)),
    ]


def test_a_damaged_spelling_file_is_named(folder: Path, tmp_path: Path) -> None:
    whisper_tiny.write_tokenizer(tmp_path)
    (tmp_path / "normalizer.json").write_text("[1", encoding="utf-8")
    with pytest.raises(ValueError, match=r"normalizer\.json"):
        xf.WhisperTokenizerFast.from_pretrained(tmp_path)


# ---- standardization


@pytest.mark.parametrize(
    "hostile", ["<" * 50_000, "(" * 50_000, " " * 50_000 + "x", "1,", "and a ", "'" * 20_000, "9" * 50_000]
)
def test_hostile_text_takes_linear_time(hostile: str) -> None:
    text = hostile * (50_000 // len(hostile) or 1)
    began = time.perf_counter()
    EnglishTextNormalizer({})(text)
    BasicTextNormalizer(remove_diacritics=True)(text)
    assert time.perf_counter() - began < 5


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_any_text_can_be_standardized(text: str) -> None:
    once = BasicTextNormalizer()(text)
    assert "  " not in once
    EnglishTextNormalizer({})(text)


@given(st.lists(st.sampled_from(sorted(numbers.NUMBER_WORDS)), max_size=8))
def test_any_number_words_can_be_read(words: list[str]) -> None:
    assert isinstance(numbers.standardize_numbers(" ".join(words)), str)


def test_numbers_as_the_paper_writes_them() -> None:
    normalize = EnglishTextNormalizer({"colour": "color"})
    assert normalize("Ten thousand dollars") == "$10000"
    assert normalize("two and a half million, colour: 20 percent!") == "2500000 color 20%"
    assert normalize("Mr. Smith won't [laughs] go (sighs)") == "mister smith will not go"


# ---- features


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (np.zeros((1, 2, 3)), "mono"),
        (np.zeros(0), "no samples"),
        (np.array([0.0, np.nan]), "NaN"),
        ([np.zeros(3), np.zeros((2, 2))], "Waveform 1 has shape"),
        ("speech.wav", "load_audio"),
        ([["a"]], "numbers"),
    ],
)
def test_bad_sound_is_refused(sound: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        xf.WhisperFeatureExtractor()(sound, sampling_rate=16000)


def test_numpy_and_torch_make_the_same_features() -> None:
    extractor = xf.WhisperFeatureExtractor()
    waveforms = np.random.default_rng(0).standard_normal((2, 16000)).astype(np.float32) * 0.1
    ours, theirs = extractor._np_extract_fbank_features(waveforms), extractor._torch_extract_fbank_features(waveforms)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_unpadded_features_keep_their_lengths() -> None:
    sounds = [np.ones(n, np.float32) for n in (1600, 3200)]
    batch = xf.WhisperFeatureExtractor()(sounds, sampling_rate=16000, padding=False, return_attention_mask=True)
    assert [item.shape for item in batch["input_features"]] == [(80, 10), (80, 20)]
    assert [len(mask) for mask in batch["attention_mask"]] == [10, 20]
