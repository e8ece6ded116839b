"""The task feature-extraction: vectors of texts."""
