"""Pipelines: the contract of a task, its loop, the factory `pipeline()`."""
