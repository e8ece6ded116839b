"""Training: events, state and control of a training loop."""
