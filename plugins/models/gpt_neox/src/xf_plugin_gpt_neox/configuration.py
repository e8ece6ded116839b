"""GPTNeoXConfig (arXiv:2204.06745)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.rope_config import settle_rope_scaling


class GPTNeoXConfig(PretrainedConfig):
    """The defaults are those of GPT-NeoX 20B.

    rotary_pct: share of each head that is rotated (also partial_rotary_factor). rotary_emb_base: base of its
    frequencies (also rope_theta). use_parallel_residual: attention and feed-forward side by side.
    """

    model_type = "gpt_neox"
    rope_names: ClassVar = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = {
        "layers.*.attention.query_key_value": "colwise",
        "layers.*.attention.dense": "rowwise",
        "layers.*.mlp.dense_h_to_4h": "colwise",
        "layers.*.mlp.dense_4h_to_h": "rowwise",
    }

    vocab_size: int = 50432
    hidden_size: int = 6144
    num_hidden_layers: int = 44
    num_attention_heads: int = 64
    intermediate_size: int = 24576
    hidden_act: str = "gelu"
    rotary_pct: float = 0.25
    rotary_emb_base: float = 10000
    attention_dropout: float = 0.0
    hidden_dropout: float = 0.0
    classifier_dropout: float = 0.1
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    use_cache: bool = True
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    use_parallel_residual: bool = True
    rope_scaling: dict[str, Any] | None = None
    attention_bias: bool = True
    partial_rotary_factor: float | None = None
    rope_theta: float | None = None

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_attention_heads "
                f"({self.num_attention_heads})."
            )
        self.partial_rotary_factor = self.rotary_pct
        self.rope_theta = self.rotary_emb_base
        settle_rope_scaling(self)
