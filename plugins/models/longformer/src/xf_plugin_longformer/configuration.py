"""LongformerConfig (arXiv:2004.05150)."""

from __future__ import annotations

from xf.interfaces.config import PretrainedConfig


class LongformerConfig(PretrainedConfig):
    """The defaults are those of Longformer base, except for the vocabulary and the positions.

    attention_window: how many tokens around it a token sees, half on each side; an even number, or one for each layer.
    max_position_embeddings counts the pad_token_id + 1 positions that no token has. sep_token_id: ends the question,
    whose tokens see all others. onnx_export: kept for the files.
    Raises: ValueError for a window that is odd or not positive, or a list that does not fit the layers.
    """

    model_type = "longformer"

    attention_window: list[int] | int = 512
    sep_token_id: int | None = 2
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | None = 2
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    onnx_export: bool = False

    def windows(self) -> list[int]:
        """The window of each layer."""
        given = self.attention_window
        windows = [given] * self.num_hidden_layers if isinstance(given, int) else list(given)
        if len(windows) != self.num_hidden_layers or any(w <= 0 or w % 2 for w in windows):
            raise ValueError(
                f"attention_window is {given}: give an even positive number, or one for each of the "
                f"{self.num_hidden_layers} layers."
            )
        return windows
