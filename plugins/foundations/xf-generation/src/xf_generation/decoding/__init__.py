"""Decoding strategies, one a file, found by name in `xf.v1.decoding`."""
