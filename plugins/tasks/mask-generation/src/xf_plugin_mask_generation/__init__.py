"""The task mask-generation for xf."""
