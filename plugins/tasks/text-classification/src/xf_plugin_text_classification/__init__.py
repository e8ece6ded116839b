"""The task text-classification for xf."""
