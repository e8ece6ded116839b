"""Caches of fixed size for xf."""
