"""The task fill-mask: what stands in place of a mask."""
