"""mBART for xf."""
