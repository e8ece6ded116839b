"""Training: the trainer, its arguments, collators, optimizers, schedules and callbacks."""
