"""DeepSeek-V3 for xf."""
