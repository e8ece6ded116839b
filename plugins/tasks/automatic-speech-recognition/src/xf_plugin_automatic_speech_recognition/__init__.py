"""The task automatic-speech-recognition: speech in, text out."""

__version__ = "1.0.0"
