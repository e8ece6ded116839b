"""Jamba for xf."""
