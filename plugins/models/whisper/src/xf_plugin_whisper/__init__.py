"""Whisper (arXiv:2212.04356): speech recognition and translation by weak supervision at scale."""

__version__ = "1.0.0"
