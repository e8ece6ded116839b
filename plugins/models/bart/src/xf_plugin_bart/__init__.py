"""BART for xf."""
