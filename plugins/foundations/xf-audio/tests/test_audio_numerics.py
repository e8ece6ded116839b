"""Scales, filter banks, windows, decibels and spectrograms: equal to recorded results, and their invariants."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xf_audio import audio_utils

sys.path.insert(0, str(Path(__file__).parent))
from audio_cases import cases

GOLDENS = np.load(Path(__file__).parent / "goldens" / "audio.npz")


def test_every_recorded_setting_gives_the_recorded_result():
    compared = 0
    for name, function, arguments, keywords, seed in cases():
        if seed is not None:
            np.random.seed(seed)
        result = getattr(audio_utils, function)(*arguments, **keywords)
        for index, array in enumerate(result if isinstance(result, list) else [result]):
            expected = GOLDENS[f"{name}/{index}"]
            exact = expected.dtype not in (np.float32, np.complex64)
            np.testing.assert_allclose(array, expected, rtol=1e-9 if exact else 1e-4, atol=1e-9 if exact else 2e-5)
            compared += 1
    assert compared == len(GOLDENS.files) > 450


@given(st.floats(0, 24000), st.sampled_from(["htk", "kaldi", "slaney"]))
def test_mel_and_hertz_are_inverse(frequency, scale):
    assert audio_utils.mel_to_hertz(audio_utils.hertz_to_mel(frequency, scale), scale) == pytest.approx(
        frequency, abs=1e-6
    )


@given(st.integers(17, 400), st.integers(1, 30))
def test_a_long_recording_is_transformed_in_blocks_with_the_same_result(length, hop):
    from xf_audio import stft

    waveform = np.random.default_rng(length).standard_normal(length)
    window = audio_utils.window_function(16)
    whole = audio_utils.spectrogram(waveform, window, 16, hop)
    before, stft._BLOCK_SAMPLES = stft._BLOCK_SAMPLES, 64
    try:
        assert np.array_equal(audio_utils.spectrogram(waveform, window, 16, hop), whole)
    finally:
        stft._BLOCK_SAMPLES = before


def test_a_batch_is_its_items_one_by_one():
    generator = np.random.default_rng(1)
    waveforms = [generator.standard_normal(n).astype(np.float32) for n in (90, 40, 65)]
    window = audio_utils.window_function(16)
    batch = audio_utils.spectrogram_batch(waveforms, window, 16, 4, power=2.0, log_mel="log")
    for waveform, got in zip(waveforms, batch, strict=True):
        assert np.array_equal(got, audio_utils.spectrogram(waveform, window, 16, 4, power=2.0, log_mel="log"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"waveform": np.zeros((2, 40))}, "mono"),
        ({"waveform": np.zeros(40, complex)}, "Complex"),
        ({"waveform": np.zeros(0)}, "empty"),
        ({"waveform": np.zeros(3), "center": False}, "fewer than one frame"),
        ({"hop_length": 0}, "hop_length"),
        ({"fft_length": 8}, "larger than fft_length"),
        ({"window": np.ones(7)}, "window has 7"),
        ({"power": None, "mel_filters": np.ones((9, 2))}, "mel_filters"),
        ({"log_mel": "ln"}, "Unknown log_mel 'ln'"),
        ({"power": 1.5, "log_mel": "dB"}, "power 1.0"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, words):
    arguments = {"waveform": np.ones(40), "window": np.ones(16), "frame_length": 16, "hop_length": 4} | changes
    with pytest.raises(ValueError, match=words):
        audio_utils.spectrogram(**arguments)


@pytest.mark.parametrize("name", ["reference", "min_value", "db_range"])
def test_decibels_need_positive_settings(name):
    for function in (audio_utils.power_to_db, audio_utils.amplitude_to_db_batch):
        with pytest.raises(ValueError, match=name):
            function(np.ones((2, 3)), **{name: 0.0})


def test_filter_banks_refuse_what_they_cannot_build():
    with pytest.raises(ValueError, match="at least 2"):
        audio_utils.mel_filter_bank(1, 4, 0.0, 8000.0, 16000)
    with pytest.raises(ValueError, match="above max_frequency"):
        audio_utils.mel_filter_bank(41, 4, 9000.0, 8000.0, 16000)
    with pytest.raises(ValueError, match="norm"):
        audio_utils.mel_filter_bank(41, 4, 0.0, 8000.0, 16000, norm="area")
    with pytest.raises(ValueError, match="mel_scale"):
        audio_utils.hertz_to_mel(1.0, "bark")
    with pytest.raises(ValueError, match="does not fit"):
        audio_utils.window_function(20, frame_length=10)
    with pytest.warns(UserWarning, match="all zeros"):
        audio_utils.mel_filter_bank(17, 80, 0.0, 8000.0, 16000)
