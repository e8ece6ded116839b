"""GLM-4 for xf."""
