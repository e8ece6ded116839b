"""Qwen2 MoE for xf."""
