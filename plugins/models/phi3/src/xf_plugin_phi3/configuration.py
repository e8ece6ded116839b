"""Phi3Config (arXiv:2404.14219)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import settle_key_value_heads
from xf_blocks.rope_config import check_rope_scaling


class Phi3Config(PretrainedConfig):
    """The defaults are those of Phi-3 mini 4k.

    rope_scaling: None, or "longrope" with short_factor and long_factor (older files say "su" or "yarn"); texts longer
    than original_max_position_embeddings use the long one.
    """

    model_type = "phi3"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = {
        "layers.*.self_attn.qkv_proj": "colwise_rep",
        "layers.*.self_attn.o_proj": "rowwise_rep",
        "layers.*.mlp.gate_up_proj": "colwise_rep",
        "layers.*.mlp.down_proj": "rowwise_rep",
    }

    vocab_size: int = 32064
    hidden_size: int = 3072
    intermediate_size: int = 8192
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    resid_pdrop: float = 0.0
    embd_pdrop: float = 0.0
    attention_dropout: float = 0.0
    hidden_act: str = "silu"
    max_position_embeddings: int = 4096
    original_max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-5
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    partial_rotary_factor: float = 1.0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 32000
    pad_token_id: int | None = 32000
    sliding_window: int | None = None

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
        scaling = self.rope_scaling
        if isinstance(scaling, dict) and scaling.get("type") in ("su", "yarn"):  # what longrope was called before
            scaling["type"] = "longrope"
        check_rope_scaling(self)
        self._check_factors()

    def _check_factors(self) -> None:
        """One factor for each frequency."""
        width = int(self.hidden_size // self.num_attention_heads * self.partial_rotary_factor)
        for key in ("short_factor", "long_factor"):
            factors = (self.rope_scaling or {}).get(key)
            if factors is not None and len(factors) != width // 2:
                raise ValueError(f"rope_scaling's {key} must hold {width // 2} numbers, not {len(factors)}.")
