"""M2M100 for xf."""
