"""Llama4TextConfig (the model card of Llama 4 Scout and Maverick, 2025)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import check_experts, check_layer_types, settle_key_value_heads
from xf_blocks.rope_config import settle_rope_scaling


class Llama4TextConfig(PretrainedConfig):
    """The defaults are those of Llama 4 Scout's text model.

    intermediate_size: of an expert; intermediate_size_mlp: of a layer without experts. moe_layers: indices of the
    layers with experts, every interleave_moe_layer_step-th if None. no_rope_layers: 1 for each layer that rotates; if
    None, all but every no_rope_layer_interval-th. Layers that rotate see their chunk of attention_chunk_size tokens
    (layer_types, if None). attn_temperature_tuning: layers without rotation multiply queries by
    1 + attn_scale * log(1 + floor((position + 1) / floor_scale)).
    """

    model_type = "llama4_text"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = {
        "layers.*.self_attn.q_proj": "colwise",
        "layers.*.self_attn.k_proj": "colwise",
        "layers.*.self_attn.v_proj": "colwise",
        "layers.*.self_attn.o_proj": "rowwise",
        "layers.*.input_layernorm.weight": "sequence_parallel",
        "layers.*.post_attention_layernorm.weight": "sequence_parallel",
        "norm.weight": "sequence_parallel",
        "layers.*.feed_forward.shared_expert.gate_proj": "local_colwise",
        "layers.*.feed_forward.shared_expert.up_proj": "local_colwise",
        "layers.*.feed_forward.shared_expert.down_proj": "local_rowwise",
        "layers.*.feed_forward.experts.gate_up_proj": "local_packed_rowwise",
        "layers.*.feed_forward.experts.down_proj": "local_colwise",
        "layers.*.feed_forward.experts": "local",
        "layers.*.feed_forward.gate_proj": "local_colwise",
        "layers.*.feed_forward.up_proj": "local_colwise",
        "layers.*.feed_forward.down_proj": "local_rowwise",
        "layers.*.feed_forward": "gather",
    }

    vocab_size: int = 202048
    hidden_size: int = 5120
    intermediate_size: int = 8192
    intermediate_size_mlp: int = 16384
    num_hidden_layers: int = 48
    num_attention_heads: int = 40
    num_key_value_heads: int | None = 8
    head_dim: int | None = 128
    hidden_act: str = "silu"
    max_position_embeddings: int = 4096 * 32
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-5
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    rope_theta: float = 500000
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 1
    num_local_experts: int = 16
    moe_layers: list[int] | None = None
    interleave_moe_layer_step: int = 1
    use_qk_norm: bool = True
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    router_jitter_noise: float = 0.0
    rope_scaling: dict[str, Any] | None = None
    no_rope_layers: list[int] | None = None
    no_rope_layer_interval: int = 4
    attention_chunk_size: int | None = 8192
    layer_types: list[str] | None = None
    attn_temperature_tuning: bool | int = True
    floor_scale: int = 8192
    attn_scale: float = 0.1

    def __post_init__(self) -> None:
        self.attention_bias = False
        settle_key_value_heads(self)
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        check_experts(self, self.num_local_experts)
        layers, step = range(self.num_hidden_layers), self.interleave_moe_layer_step
        if self.moe_layers is None:
            self.moe_layers = list(range(step - 1, self.num_hidden_layers, step))
        interval = self.__dict__.pop("no_rope_layer_interval")
        if not self.no_rope_layers:
            self.no_rope_layers = [int((index + 1) % interval != 0) for index in layers]
        if len(self.no_rope_layers) != self.num_hidden_layers:
            raise ValueError(f"no_rope_layers has {len(self.no_rope_layers)} entries for {len(layers)} layers.")
        if self.layer_types is None:
            self.layer_types = ["chunked_attention" if turns else "full_attention" for turns in self.no_rope_layers]
        check_layer_types(self)
        settle_rope_scaling(self)
