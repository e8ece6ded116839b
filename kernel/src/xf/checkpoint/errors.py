"""What goes wrong with a checkpoint, as one exception type."""


class CheckpointError(OSError, ValueError):
    """A checkpoint cannot be found, read or trusted.

    It is an ``OSError`` (what `from_pretrained` is documented to raise when nothing can be loaded) and a ``ValueError``
    (what the rest of xf raises for bad input). The text says what was wrong, with the value, and what to do.
    """


class LoadError(CheckpointError, RuntimeError):
    """The tensors of a checkpoint do not fit the model; `report` is the LoadReport.

    Also a ``RuntimeError``: what torch raises for a state dict that does not fit.
    """

    def __init__(self, text: str, report: object = None) -> None:
        super().__init__(text)
        self.report = report
