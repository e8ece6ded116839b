"""Granite for xf."""
