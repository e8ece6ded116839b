"""Quantized key-value caches for xf."""
