"""StarCoder2 for xf."""
