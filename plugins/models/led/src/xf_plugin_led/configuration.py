"""LEDConfig (arXiv:2004.05150)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class LEDConfig(PretrainedConfig):
    """The defaults are those of LED large.

    attention_window: how many tokens around its own a token of the encoder attends to, half of them on each side: an
    even number, or one for each layer.
    Raises: ValueError for a window that is odd, not positive, or not given for each layer.
    """

    model_type = "led"
    attribute_map: ClassVar = {
        "num_attention_heads": "encoder_attention_heads",
        "hidden_size": "d_model",
        "attention_probs_dropout_prob": "attention_dropout",
        "initializer_range": "init_std",
    }

    vocab_size: int = 50265
    max_encoder_position_embeddings: int = 16384
    max_decoder_position_embeddings: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    use_cache: bool = True
    is_encoder_decoder: bool = True
    activation_function: str = "gelu"
    d_model: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    decoder_start_token_id: int | None = 2
    classifier_dropout: float = 0.0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    attention_window: list[int] | int = 512
    num_hidden_layers: int | None = None

    def __post_init__(self) -> None:
        if self.num_hidden_layers is None:
            self.num_hidden_layers = self.encoder_layers
        self.windows()

    def windows(self) -> list[int]:
        """The window of each encoder layer."""
        given = self.attention_window
        windows = [given] * self.encoder_layers if isinstance(given, int) else list(given)
        if len(windows) != self.encoder_layers:
            raise ValueError(f"attention_window is for {len(windows)} layers; the encoder has {self.encoder_layers}.")
        if any(window < 2 or window % 2 for window in windows):
            raise ValueError(f"attention_window must be even and positive, not {given!r}.")
        return windows
