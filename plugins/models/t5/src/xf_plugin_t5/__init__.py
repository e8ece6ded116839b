"""T5 for xf."""
