"""Llama for xf."""
