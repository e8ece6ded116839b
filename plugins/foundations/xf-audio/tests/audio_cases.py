"""Random settings of the audio functions, the same for the recorder and for the test (only NumPy is imported)."""

import random

import numpy as np


def waveform(generator, length, dtype="float32"):
    return generator.standard_normal(length).astype(dtype)


def cases(count=45):
    """(name, function, positional arguments, keyword arguments, seed of the global generator)."""
    rng, generator = random.Random(0), np.random.default_rng(0)
    for number in range(count):
        scale = rng.choice(["htk", "kaldi", "slaney"])
        yield f"to_mel_{number}", "hertz_to_mel", (generator.uniform(0, 20000, 5),), {"mel_scale": scale}, None
        yield f"to_hertz_{number}", "mel_to_hertz", (generator.uniform(0, 60, 5),), {"mel_scale": scale}, None
        bank = {
            "norm": rng.choice([None, "slaney"]),
            "mel_scale": scale,
            "triangularize_in_mel_space": rng.random() < 0.5,
        }
        bank_arguments = (rng.choice([17, 41]), rng.choice([4, 8]), rng.choice([0.0, 80.0]), 7600.0, 16000)
        yield f"mel_{number}", "mel_filter_bank", bank_arguments, bank, None
        window = {
            "name": rng.choice(["boxcar", "hamming", "hann", "povey"]),
            "periodic": rng.random() < 0.5,
            "frame_length": rng.choice([None, 16, 19]),
            "center": rng.random() < 0.5,
        }
        yield f"window_{number}", "window_function", (rng.choice([5, 16]),), window, None
        chroma = {
            "tuning": rng.choice([0.0, 0.3]),
            "power": rng.choice([None, 1.0, 2.0]),
            "weighting_parameters": rng.choice([None, (5.0, 2.0)]),
            "start_at_c_chroma": rng.random() < 0.5,
        }
        yield f"chroma_{number}", "chroma_filter_bank", (32, rng.choice([12, 13]), 16000), chroma, None
        decibels = {"reference": rng.choice([1.0, 0.5]), "db_range": rng.choice([None, 30.0])}
        energies = np.abs(generator.standard_normal((2, 3, 4))) ** 4
        for function in ("power_to_db", "amplitude_to_db", "power_to_db_batch", "amplitude_to_db_batch"):
            yield f"{function}_{number}", function, (energies,), decibels, None
        settings = spectrogram_settings(rng, generator)
        yield f"spectrogram_{number}", "spectrogram", (waveform(generator, 60), np.hanning(16), 16), settings, number
        batch = [waveform(generator, length) for length in (40, 60)]
        yield f"batch_{number}", "spectrogram_batch", (batch, np.hanning(16), 16), settings, number


def spectrogram_settings(rng, generator):
    fft_length = rng.choice([None, 16, 19, 32])
    onesided = rng.random() < 0.8
    length = fft_length or 16
    settings = {
        "hop_length": rng.choice([5, 8, 20]),
        "fft_length": fft_length,
        "power": rng.choice([1.0, 2.0, 2.0]),
        "center": rng.random() < 0.6,
        "pad_mode": rng.choice(["reflect", "constant", "edge"]),
        "onesided": onesided,
        "dither": rng.choice([0.0, 0.1]),
        "preemphasis": rng.choice([None, 0.97]),
        "log_mel": rng.choice([None, "log", "log10", "dB"]),
        "reference": rng.choice([1.0, 0.3]),
        "db_range": rng.choice([None, 80.0]),
        "dtype": rng.choice([np.float32, np.float64]),
    }
    if rng.random() < 0.5:
        settings["mel_filters"] = np.abs(generator.standard_normal((length // 2 + 1 if onesided else length, 4)))
    elif rng.random() < 0.2:
        settings["power"] = None
    return settings
