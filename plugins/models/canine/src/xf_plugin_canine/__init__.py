"""CANINE for xf."""
