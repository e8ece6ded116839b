"""PLBartConfig (arXiv:2103.06333)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class PLBartConfig(PretrainedConfig):
    """The defaults are those of PLBART base.

    scale_embedding: token embeddings are multiplied by sqrt(d_model).
    """

    model_type = "plbart"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    attribute_map: ClassVar = {
        "num_attention_heads": "encoder_attention_heads",
        "hidden_size": "d_model",
        "initializer_range": "init_std",
    }

    vocab_size: int = 50005
    max_position_embeddings: int = 1024
    encoder_layers: int = 6
    encoder_ffn_dim: int = 3072
    encoder_attention_heads: int = 12
    decoder_layers: int = 6
    decoder_ffn_dim: int = 3072
    decoder_attention_heads: int = 12
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    use_cache: bool = True
    is_encoder_decoder: bool = True
    activation_function: str = "gelu"
    d_model: int = 768
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    init_std: float = 0.02
    classifier_dropout: float = 0.0
    scale_embedding: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    forced_eos_token_id: int | list[int] | None = 2
    num_hidden_layers: int | None = None

    def __post_init__(self) -> None:
        if self.num_hidden_layers is None:
            self.num_hidden_layers = self.encoder_layers
