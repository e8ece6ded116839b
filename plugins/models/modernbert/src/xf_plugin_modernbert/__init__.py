"""ModernBERT for xf."""
