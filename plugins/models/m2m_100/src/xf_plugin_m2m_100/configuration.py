"""M2M100Config (arXiv:2010.11125, arXiv:2207.04672)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class M2M100Config(PretrainedConfig):
    """The defaults are those of M2M100 418M; NLLB has the same architecture.

    scale_embedding: token embeddings are multiplied by sqrt(d_model).
    """

    model_type = "m2m_100"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    attribute_map: ClassVar = {"num_attention_heads": "encoder_attention_heads", "hidden_size": "d_model"}

    vocab_size: int = 128112
    max_position_embeddings: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    encoder_layerdrop: float = 0.05
    decoder_layerdrop: float = 0.05
    use_cache: bool = True
    is_encoder_decoder: bool = True
    activation_function: str = "relu"
    d_model: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    init_std: float = 0.02
    decoder_start_token_id: int | None = 2
    scale_embedding: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    num_hidden_layers: int | None = None

    def __post_init__(self) -> None:
        if self.num_hidden_layers is None:
            self.num_hidden_layers = self.encoder_layers
