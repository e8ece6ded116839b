"""StableLM for xf."""
