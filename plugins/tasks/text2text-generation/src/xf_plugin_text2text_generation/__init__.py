"""The task text2text-generation for xf."""
