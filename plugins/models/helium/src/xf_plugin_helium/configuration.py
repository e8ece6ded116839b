"""HeliumConfig (the model card of Helium 1, 2025)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import DENSE_PARALLEL_PLAN, settle_key_value_heads


class HeliumConfig(PretrainedConfig):
    """The defaults are those of Helium 1 2B."""

    model_type = "helium"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = DENSE_PARALLEL_PLAN

    vocab_size: int = 48000
    hidden_size: int = 2560
    intermediate_size: int = 7040
    num_hidden_layers: int = 24
    num_attention_heads: int = 20
    num_key_value_heads: int | None = 20
    head_dim: int | None = 128
    hidden_act: str = "silu"
    attention_dropout: float = 0.0
    max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-8
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_theta: float = 100000.0
    pad_token_id: int | None = 3
    eos_token_id: int | list[int] | None = 2
    bos_token_id: int | None = 1
    attention_bias: bool = False
    mlp_bias: bool = False

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
