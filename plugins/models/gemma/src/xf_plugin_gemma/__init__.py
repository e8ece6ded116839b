"""Gemma for xf."""
