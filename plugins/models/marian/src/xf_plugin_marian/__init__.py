"""Marian for xf."""
