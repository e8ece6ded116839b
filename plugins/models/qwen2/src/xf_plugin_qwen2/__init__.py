"""Qwen2 for xf."""
