"""The text model of Llama 4 for xf."""
