"""OLMo for xf."""
