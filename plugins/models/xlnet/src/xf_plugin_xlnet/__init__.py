"""XLNet for xf."""
