"""Falcon for xf."""
