"""GPT-2 for xf."""
