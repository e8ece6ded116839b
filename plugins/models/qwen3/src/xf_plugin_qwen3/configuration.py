"""Qwen3Config (arXiv:2505.09388)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import DENSE_PARALLEL_PLAN, settle_key_value_heads, settle_layer_types
from xf_blocks.rope_config import settle_rope_scaling


class Qwen3Config(PretrainedConfig):
    """The defaults are those of Qwen3 8B.

    use_sliding_window: layers from max_window_layers on see only the last sliding_window positions. layer_types: says
    the same, layer by layer.
    """

    model_type = "qwen3"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = DENSE_PARALLEL_PLAN

    vocab_size: int = 151936
    hidden_size: int = 4096
    intermediate_size: int = 22016
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 32
    head_dim: int = 128
    hidden_act: str = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    attention_bias: bool = False
    use_sliding_window: bool = False
    sliding_window: int | None = 4096
    max_window_layers: int = 28
    layer_types: list[str] | None = None
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
        settle_rope_scaling(self)
        if not self.use_sliding_window:
            self.sliding_window = None
        settle_layer_types(self, lambda index: self.sliding_window is not None and index >= self.max_window_layers)
