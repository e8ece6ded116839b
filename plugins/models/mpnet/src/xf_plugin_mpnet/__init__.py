"""MPNet for xf."""
