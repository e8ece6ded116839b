"""BERT for xf."""
