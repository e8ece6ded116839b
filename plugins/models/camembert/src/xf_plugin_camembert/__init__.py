"""CamemBERT for xf."""
