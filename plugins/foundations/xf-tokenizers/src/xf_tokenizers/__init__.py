"""The pure Python base class of tokenizers, and pipelines from vocabulary files."""
