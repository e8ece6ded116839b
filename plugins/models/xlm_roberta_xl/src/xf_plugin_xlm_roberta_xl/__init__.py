"""XLM-RoBERTa-XL for xf."""
