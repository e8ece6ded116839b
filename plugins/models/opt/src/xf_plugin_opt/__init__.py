"""OPT for xf."""
