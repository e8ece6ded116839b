"""PLBART for xf."""
