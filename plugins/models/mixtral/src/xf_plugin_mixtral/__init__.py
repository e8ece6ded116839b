"""Mixtral for xf."""
