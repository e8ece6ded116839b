"""DeepSeek-V2 for xf."""
