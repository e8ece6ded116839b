"""Logits processors, found in `xf.v1.logits` and built by the options that they declare."""
