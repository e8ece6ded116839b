"""Gemma 2 for xf."""
