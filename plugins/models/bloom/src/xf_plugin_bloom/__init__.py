"""BLOOM for xf."""
