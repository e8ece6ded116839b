"""Cohere (Command R) for xf."""
