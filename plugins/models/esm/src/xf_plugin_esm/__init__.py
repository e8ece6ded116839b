"""ESM for xf."""
