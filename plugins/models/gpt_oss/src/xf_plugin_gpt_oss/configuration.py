"""GptOssConfig (arXiv:2508.10925)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import check_experts, settle_key_value_heads, settle_layer_types
from xf_blocks.rope_config import settle_rope_scaling


class GptOssConfig(PretrainedConfig):
    """The defaults are those of gpt-oss-120b. layer_types: by default every second layer is full, the others slide."""

    model_type = "gpt_oss"
    base_model_tp_plan: ClassVar = {
        "layers.*.self_attn.q_proj": "colwise",
        "layers.*.self_attn.k_proj": "colwise",
        "layers.*.self_attn.v_proj": "colwise",
        "layers.*.self_attn.o_proj": "rowwise",
        "layers.*.self_attn.sinks": "local_rowwise",
        "layers.*.mlp.experts": "gather",
        "layers.*.mlp.router": "ep_router",
        "layers.*.mlp.experts.gate_up_proj": "grouped_gemm",
        "layers.*.mlp.experts.gate_up_proj_bias": "grouped_gemm",
        "layers.*.mlp.experts.down_proj": "grouped_gemm",
        "layers.*.mlp.experts.down_proj_bias": "grouped_gemm",
    }

    num_hidden_layers: int = 36
    num_local_experts: int = 128
    vocab_size: int = 201088
    hidden_size: int = 2880
    intermediate_size: int = 2880
    head_dim: int = 64
    num_attention_heads: int = 64
    num_key_value_heads: int | None = 8
    sliding_window: int | None = 128
    rope_theta: float = 150000.0
    tie_word_embeddings: bool = False
    hidden_act: str = "silu"
    initializer_range: float = 0.02
    max_position_embeddings: int = 131072
    rms_norm_eps: float = 1e-5
    rope_scaling: dict[str, Any] | None = {
        "rope_type": "yarn",
        "factor": 32.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": False,
    }
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 4
    router_aux_loss_coef: float = 0.9
    output_router_logits: bool = False
    use_cache: bool = True
    layer_types: list[str] | None = None
    attention_bias: bool = True

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
        settle_rope_scaling(self)
        check_experts(self, self.num_local_experts)
        settle_layer_types(self, lambda index: index % 2 == 0)
