"""Mamba-2 for xf."""
