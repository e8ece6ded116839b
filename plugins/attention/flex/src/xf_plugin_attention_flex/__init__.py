"""torch's FlexAttention as an attention backend for xf."""
