"""The task translation for xf."""
