"""Caches for xf that keep all layers but the current one on another device."""
