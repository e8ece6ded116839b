"""Mamba for xf."""
