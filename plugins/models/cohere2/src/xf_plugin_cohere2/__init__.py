"""Command R7B (Cohere 2) for xf."""
