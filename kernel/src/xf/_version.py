"""The version of the kernel; a test holds it equal to the one in pyproject.toml."""

VERSION = "1.0.0"
