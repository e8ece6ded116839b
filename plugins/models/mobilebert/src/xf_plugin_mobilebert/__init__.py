"""MobileBERT for xf."""
