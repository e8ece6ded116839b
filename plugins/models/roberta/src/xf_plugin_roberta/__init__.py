"""RoBERTa for xf."""
