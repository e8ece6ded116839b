"""Megatron-BERT for xf."""
