"""Phi-3 for xf."""
