"""The task zero-shot-classification for xf."""
