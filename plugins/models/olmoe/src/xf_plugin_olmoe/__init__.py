"""OLMoE for xf."""
