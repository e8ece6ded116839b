"""GemmaConfig (arXiv:2403.08295)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import DENSE_PARALLEL_PLAN


class GemmaConfig(PretrainedConfig):
    """The defaults are those of Gemma 7B."""

    model_type = "gemma"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = DENSE_PARALLEL_PLAN

    vocab_size: int = 256000
    hidden_size: int = 3072
    intermediate_size: int = 24576
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    num_key_value_heads: int = 16
    head_dim: int = 256
    hidden_act: str = "gelu_pytorch_tanh"
    hidden_activation: str | None = None
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = 2
    tie_word_embeddings: bool = True
    rope_theta: float = 10000.0
    attention_bias: bool = False
    attention_dropout: float = 0.0
