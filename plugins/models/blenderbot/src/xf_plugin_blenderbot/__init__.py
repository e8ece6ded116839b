"""Blenderbot for xf."""
