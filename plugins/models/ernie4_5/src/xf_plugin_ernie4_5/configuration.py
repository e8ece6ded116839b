"""Ernie4_5Config (the ERNIE 4.5 technical report, 2025)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import DENSE_PARALLEL_PLAN, settle_key_value_heads
from xf_blocks.rope_config import settle_rope_scaling


class Ernie4_5Config(PretrainedConfig):
    """The defaults are those of ERNIE 4.5 0.3B. use_bias: of all matrices."""

    model_type = "ernie4_5"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = DENSE_PARALLEL_PLAN

    vocab_size: int = 103424
    hidden_size: int = 1024
    intermediate_size: int = 3072
    num_hidden_layers: int = 18
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 2
    hidden_act: str = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-5
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True
    rope_theta: float = 500000.0
    rope_scaling: dict[str, Any] | None = None
    use_bias: bool = False
    head_dim: int | None = 128

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        settle_rope_scaling(self)
