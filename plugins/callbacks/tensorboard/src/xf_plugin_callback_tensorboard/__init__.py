"""Training logs in TensorBoard: `from xf.integrations import TensorBoardCallback`."""
