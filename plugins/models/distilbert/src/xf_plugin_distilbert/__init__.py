"""DistilBERT for xf."""
