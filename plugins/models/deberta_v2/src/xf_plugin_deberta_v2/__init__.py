"""DeBERTa-v2 for xf."""
