"""The task token-classification for xf."""
