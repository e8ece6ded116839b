"""What goes wrong with a checkpoint, as one exception type."""


class CheckpointError(OSError, ValueError):
    """A checkpoint cannot be found, read or trusted.

    It is an ``OSError`` (what `from_pretrained` is documented to raise when nothing can be loaded) and a ``ValueError``
    (what the rest of xf raises for bad input). The text says what was wrong, with the value, and what to do.
    """
