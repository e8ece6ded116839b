"""GLM for xf."""
