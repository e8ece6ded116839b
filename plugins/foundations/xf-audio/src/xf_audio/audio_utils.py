"""The documented functions for audio, under their documented module name."""

from xf_audio.arrays import is_valid_audio, is_valid_list_of_audio, make_list_of_audio
from xf_audio.decibels import amplitude_to_db, amplitude_to_db_batch, power_to_db, power_to_db_batch
from xf_audio.ffmpeg import chunk_bytes_iter, ffmpeg_microphone, ffmpeg_microphone_live, ffmpeg_read
from xf_audio.files import AudioError, load_audio, load_audio_as, read_audio, resample
from xf_audio.scales import chroma_filter_bank, hertz_to_mel, hertz_to_octave, mel_filter_bank, mel_to_hertz
from xf_audio.stft import optimal_fft_length, spectrogram, spectrogram_batch, window_function

__all__ = [
    "AudioError",
    "amplitude_to_db",
    "amplitude_to_db_batch",
    "chroma_filter_bank",
    "chunk_bytes_iter",
    "ffmpeg_microphone",
    "ffmpeg_microphone_live",
    "ffmpeg_read",
    "hertz_to_mel",
    "hertz_to_octave",
    "is_valid_audio",
    "is_valid_list_of_audio",
    "load_audio",
    "load_audio_as",
    "make_list_of_audio",
    "mel_filter_bank",
    "mel_to_hertz",
    "optimal_fft_length",
    "power_to_db",
    "power_to_db_batch",
    "read_audio",
    "resample",
    "spectrogram",
    "spectrogram_batch",
    "window_function",
]
