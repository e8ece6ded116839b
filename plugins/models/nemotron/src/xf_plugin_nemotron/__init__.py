"""Nemotron for xf."""
