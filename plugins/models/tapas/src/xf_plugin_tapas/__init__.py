"""TAPAS for xf."""
