"""GPT-OSS for xf."""
