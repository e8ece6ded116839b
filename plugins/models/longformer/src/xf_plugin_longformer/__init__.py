"""Longformer for xf."""
