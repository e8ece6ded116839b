"""GPT-Neo for xf."""
