"""Gemma3TextConfig (arXiv:2503.19786)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import DENSE_PARALLEL_PLAN, settle_layer_types
from xf_blocks.rope_config import settle_rope_scaling


class Gemma3TextConfig(PretrainedConfig):
    """The text part of Gemma 3.

    query_pre_attn_scalar: scores are divided by its root. layer_types: by default every sixth layer is full, the others
    slide. rope_theta, rope_scaling: of full layers; rope_local_base_freq: of sliding ones. final_logit_softcapping,
    attn_logit_softcapping: bounds c of c tanh(x / c), None for none.
    """

    model_type = "gemma3_text"
    attribute_map: ClassVar = {"sliding_window_pattern": "_sliding_window_pattern"}
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = DENSE_PARALLEL_PLAN

    vocab_size: int = 262208
    hidden_size: int = 2304
    intermediate_size: int = 9216
    num_hidden_layers: int = 26
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 256
    hidden_activation: str = "gelu_pytorch_tanh"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = 2
    tie_word_embeddings: bool = True
    rope_theta: float = 1000000.0
    attention_bias: bool = False
    attention_dropout: float = 0.0
    query_pre_attn_scalar: float = 256
    sliding_window: int = 4096
    layer_types: list[str] | None = None
    final_logit_softcapping: float | None = None
    attn_logit_softcapping: float | None = None
    rope_scaling: dict[str, Any] | None = None
    rope_local_base_freq: float = 10000.0
    _sliding_window_pattern: int = 6

    def __post_init__(self) -> None:
        settle_rope_scaling(self)
        settle_layer_types(self, lambda index: bool((index + 1) % self._sliding_window_pattern))
