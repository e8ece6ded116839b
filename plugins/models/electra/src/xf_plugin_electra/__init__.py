"""ELECTRA for xf."""
