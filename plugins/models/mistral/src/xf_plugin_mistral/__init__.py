"""Mistral for xf."""
