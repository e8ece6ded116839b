"""Helium for xf."""
