"""Processors, and feature extractors for sequences."""
