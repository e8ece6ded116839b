"""GPT-J for xf."""
