"""The task summarization for xf."""
