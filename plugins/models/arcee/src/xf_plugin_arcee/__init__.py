"""Arcee (AFM) for xf."""
