"""RemBERT for xf."""
