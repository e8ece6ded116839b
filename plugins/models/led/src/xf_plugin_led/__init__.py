"""LED for xf."""
