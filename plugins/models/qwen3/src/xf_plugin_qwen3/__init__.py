"""Qwen3 for xf."""
