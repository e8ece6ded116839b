"""Encoder-decoders of two models for xf."""
