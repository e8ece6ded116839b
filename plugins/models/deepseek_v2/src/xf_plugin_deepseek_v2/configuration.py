"""DeepseekV2Config (arXiv:2405.04434)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import settle_key_value_heads
from xf_blocks.rope_config import settle_rope_scaling

_METHODS = ("greedy", "group_limited_greedy")


class DeepseekV2Config(PretrainedConfig):
    """q_lora_rank, kv_lora_rank: widths of the latent vectors of queries (None: no such vector) and of keys and values.

    qk_rope_head_dim, qk_nope_head_dim: the part of a query or key that is rotated, and the rest. first_k_dense_replace:
    so many layers in front have no experts. topk_method "group_limited_greedy": experts stand in n_group groups, of
    which a token uses the best topk_group; "greedy": the best experts of all. aux_loss_alpha, seq_aux, norm_topk_prob:
    settings of the original training, kept.
    """

    model_type = "deepseek_v2"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = {
        "layers.*.self_attn.q_proj": "colwise",
        "layers.*.self_attn.q_a_proj": "colwise",
        "layers.*.self_attn.q_b_proj": "colwise",
        "layers.*.self_attn.kv_b_proj": "colwise",
        "layers.*.self_attn.o_proj": "rowwise",
        "layers.*.mlp.gate_proj": "colwise",
        "layers.*.mlp.up_proj": "colwise",
        "layers.*.mlp.down_proj": "rowwise",
    }

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
    aux_loss_alpha: float = 0.001
    first_k_dense_replace: int = 0
    kv_lora_rank: int = 512
    q_lora_rank: int | None = 1536
    n_group: int | None = None
    n_routed_experts: int = 64
    n_shared_experts: int = 2
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    routed_scaling_factor: float = 1.0
    seq_aux: bool = True
    topk_group: int | None = None
    topk_method: str = "greedy"
    v_head_dim: int = 128
    num_experts_per_tok: int | None = None
    norm_topk_prob: bool = False
    moe_intermediate_size: int = 1407

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
        self.head_dim = self.qk_rope_head_dim  # what the rotary embedding reads
        if self.topk_method not in _METHODS:
            raise ValueError(f"topk_method is {self.topk_method!r}; it can be {' or '.join(_METHODS)}.")
        if self.topk_method == "group_limited_greedy" and not (self.n_group and self.topk_group):
            raise ValueError("topk_method='group_limited_greedy' needs n_group and topk_group.")
        settle_rope_scaling(self)
