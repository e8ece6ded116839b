"""StableLmConfig (arXiv:2402.17834)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.rope_config import settle_rope_scaling


class StableLmConfig(PretrainedConfig):
    """The defaults are those of StableLM 3B.

    partial_rotary_factor: share of each head that is rotated. qk_layernorm: norm queries and keys, each head with its
    own weights. use_parallel_residual: attention and feed-forward side by side.
    """

    model_type = "stablelm"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]

    vocab_size: int = 50304
    intermediate_size: int = 6912
    hidden_size: int = 2560
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    hidden_act: str = "silu"
    max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_theta: float = 10000
    rope_scaling: dict[str, Any] | None = None
    use_qkv_bias: bool = False
    qk_layernorm: bool = False
    use_parallel_residual: bool = False
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    partial_rotary_factor: float = 0.25
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 0

    def __post_init__(self) -> None:
        settle_rope_scaling(self)
