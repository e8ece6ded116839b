"""XLM-RoBERTa for xf."""
