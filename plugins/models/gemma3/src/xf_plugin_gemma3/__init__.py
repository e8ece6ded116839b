"""Gemma 3 for xf."""
