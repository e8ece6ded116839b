"""ALBERT for xf."""
