"""Blenderbot Small for xf."""
