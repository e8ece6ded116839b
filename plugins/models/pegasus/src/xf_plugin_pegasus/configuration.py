"""PegasusConfig (arXiv:1912.08777)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class PegasusConfig(PretrainedConfig):
    """The defaults are sizes of no published model; every checkpoint gives its own.

    scale_embedding: token embeddings are multiplied by sqrt(d_model).
    """

    model_type = "pegasus"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    attribute_map: ClassVar = {"num_attention_heads": "encoder_attention_heads", "hidden_size": "d_model"}

    vocab_size: int = 50265
    max_position_embeddings: int = 1024
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
    decoder_start_token_id: int | None = 0
    scale_embedding: bool = False
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    forced_eos_token_id: int | list[int] | None = 1
    num_hidden_layers: int | None = None

    def __post_init__(self) -> None:
        if self.num_hidden_layers is None:
            self.num_hidden_layers = self.encoder_layers
