"""OlmoeConfig (arXiv:2409.02060)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import check_experts, settle_key_value_heads
from xf_blocks.rope_config import settle_rope_scaling


class OlmoeConfig(PretrainedConfig):
    """The defaults are those of OLMoE 1B-7B.

    clip_qkv: bound of queries, keys and values, None for none. norm_topk_prob: the weights of a token's experts add up
    to 1.
    """

    model_type = "olmoe"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]

    vocab_size: int = 50304
    hidden_size: int = 2048
    intermediate_size: int = 2048
    num_hidden_layers: int = 16
    num_attention_heads: int = 16
    num_key_value_heads: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-5
    use_cache: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 50279
    tie_word_embeddings: bool = False
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    clip_qkv: float | None = None
    num_experts_per_tok: int = 8
    num_experts: int = 64
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.01
    norm_topk_prob: bool = False

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
        settle_rope_scaling(self)
        check_experts(self, self.num_experts)
        if self.clip_qkv is not None and self.clip_qkv <= 0:
            raise ValueError(f"clip_qkv must be positive, not {self.clip_qkv}.")
