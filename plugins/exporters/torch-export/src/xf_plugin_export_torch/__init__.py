"""Decoders as torch.export programs with a cache of fixed size."""
