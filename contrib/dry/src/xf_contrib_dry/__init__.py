"""The DRY sampler: an option of `generate` that a package of its own adds."""
