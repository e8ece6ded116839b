"""GlmConfig (arXiv:2406.12793)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import settle_key_value_heads


class GlmConfig(PretrainedConfig):
    """The defaults are those of GLM-4 9B. partial_rotary_factor: share of each head that is rotated."""

    model_type = "glm"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = {
        "layers.*.self_attn.q_proj": "colwise",
        "layers.*.self_attn.k_proj": "colwise",
        "layers.*.self_attn.v_proj": "colwise",
        "layers.*.self_attn.o_proj": "rowwise",
        "layers.*.mlp.gate_up_proj": "colwise_rep",
        "layers.*.mlp.down_proj": "rowwise_rep",
    }

    vocab_size: int = 151552
    hidden_size: int = 4096
    intermediate_size: int = 13696
    num_hidden_layers: int = 40
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 2
    partial_rotary_factor: float = 0.5
    head_dim: int | None = 128
    hidden_act: str = "silu"
    attention_dropout: float = 0.0
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 0.00000015625
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_theta: float = 10000.0
    pad_token_id: int | None = 151329
    eos_token_id: int | list[int] | None = [151329, 151336, 151338]
    bos_token_id: int | None = None
    attention_bias: bool = True

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
