"""Audio for xf plugins: spectrograms, filter banks, and sound from files. Everything is in `xf_audio.audio_utils`."""

__version__ = "1.0.0"
