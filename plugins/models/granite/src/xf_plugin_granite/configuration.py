"""GraniteConfig (IBM Granite 3.0)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import DENSE_PARALLEL_PLAN, settle_key_value_heads
from xf_blocks.rope_config import check_rope_scaling


class GraniteConfig(PretrainedConfig):
    """The sizes are those of Llama 7B; all multipliers are 1.

    embedding_multiplier, residual_multiplier, attention_multiplier: factors on the embeddings, on what each block adds,
    and on attention scores. logits_scaling: logits are divided by it.
    """

    model_type = "granite"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = DENSE_PARALLEL_PLAN

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    embedding_multiplier: float = 1.0
    logits_scaling: float = 1.0
    residual_multiplier: float = 1.0
    attention_multiplier: float = 1.0

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
        check_rope_scaling(self)
