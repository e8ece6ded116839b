"""Watermarks in generated text: two schemes, their settings and their detectors."""
