"""SmolLM3 for xf."""
