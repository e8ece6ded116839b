"""PEGASUS for xf."""
