"""OLMo 2 for xf."""
