"""MistralConfig (arXiv:2310.06825)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import DENSE_PARALLEL_PLAN, settle_key_value_heads


class MistralConfig(PretrainedConfig):
    """The defaults are those of Mistral 7B v0.1. sliding_window: positions that a layer sees, None for all."""

    model_type = "mistral"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = DENSE_PARALLEL_PLAN

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 8
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 4096 * 32
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    rope_theta: float = 10000.0
    sliding_window: int | None = 4096
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
