"""GPT-NeoX for xf."""
