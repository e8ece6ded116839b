"""The commands of `xf` that need more than a screen."""
