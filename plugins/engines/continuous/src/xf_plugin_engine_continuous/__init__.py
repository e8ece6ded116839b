"""Continuous batching: `model.generate_batch(inputs)` and `model.init_continuous_batching()`."""
