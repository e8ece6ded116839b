"""Segment Anything (SAM) for xf: promptable segmentation of images."""
