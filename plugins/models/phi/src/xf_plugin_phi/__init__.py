"""Phi for xf."""
