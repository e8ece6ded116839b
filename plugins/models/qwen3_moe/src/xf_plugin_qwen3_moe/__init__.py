"""Qwen3 MoE for xf."""
