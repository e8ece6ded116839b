"""Documented helpers of the older API."""
