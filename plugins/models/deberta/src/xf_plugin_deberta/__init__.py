"""DeBERTa for xf."""
