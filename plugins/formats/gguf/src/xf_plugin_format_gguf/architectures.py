"""Which model a GGUF architecture is: its configuration fields, its tensor names, and how values were stored.

Data only; `mapping.py` applies it. Tensor names are those of gguf (docs/gguf.md and gguf-py/gguf/constants.py) on the
left, those of the family's published checkpoints on the right; {n} is the layer, {e} an expert or head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Names = Mapping[str, str]


@dataclass(frozen=True)
class Architecture:
    """One architecture as data.

    fields: metadata key (without the architecture's prefix) to config field. tensors: name without .weight or .bias.
    stored_as: tensor (the last part of its name) to how its values differ from the checkpoint's, see `mapping.py`.
    constants: config fields that every file of this architecture has. biases: config field set by whether the tensor
    of that name has a bias. has: config field set by whether there is a tensor of that name.
    """

    model_type: str
    tensors: Names
    fields: Names = field(default_factory=dict)
    stored_as: Names = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    biases: Names = field(default_factory=dict)
    has: Names = field(default_factory=dict)
    partial_rotary: bool = False  # rope.dimension_count is a part of the head


FIELDS: Names = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
}
WITH_HEAD_DIM: Names = {**FIELDS, "attention.key_length": "head_dim"}

OUTSIDE: Names = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
ATTENTION: Names = {
    "blk.{n}.attn_norm": "model.layers.{n}.input_layernorm",
    "blk.{n}.attn_q": "model.layers.{n}.self_attn.q_proj",
    "blk.{n}.attn_k": "model.layers.{n}.self_attn.k_proj",
    "blk.{n}.attn_v": "model.layers.{n}.self_attn.v_proj",
    "blk.{n}.attn_output": "model.layers.{n}.self_attn.o_proj",
}
QK_NORMS: Names = {
    "blk.{n}.attn_q_norm": "model.layers.{n}.self_attn.q_norm",
    "blk.{n}.attn_k_norm": "model.layers.{n}.self_attn.k_norm",
}
MLP: Names = {
    "blk.{n}.ffn_norm": "model.layers.{n}.post_attention_layernorm",
    "blk.{n}.ffn_gate": "model.layers.{n}.mlp.gate_proj",
    "blk.{n}.ffn_up": "model.layers.{n}.mlp.up_proj",
    "blk.{n}.ffn_down": "model.layers.{n}.mlp.down_proj",
}
DECODER: Names = {**OUTSIDE, **ATTENTION, **MLP}
# Gemma 2 and 3 norm both before and after each part.
SANDWICH: Names = {
    **DECODER,
    "blk.{n}.post_attention_norm": "model.layers.{n}.post_attention_layernorm",
    "blk.{n}.ffn_norm": "model.layers.{n}.pre_feedforward_layernorm",
    "blk.{n}.post_ffw_norm": "model.layers.{n}.post_feedforward_layernorm",
}
QWEN_EXPERTS: Names = {
    "blk.{n}.ffn_gate_inp": "model.layers.{n}.mlp.gate",
    "blk.{n}.ffn_gate_exps": "model.layers.{n}.mlp.experts.{e}.gate_proj",
    "blk.{n}.ffn_up_exps": "model.layers.{n}.mlp.experts.{e}.up_proj",
    "blk.{n}.ffn_down_exps": "model.layers.{n}.mlp.experts.{e}.down_proj",
    "blk.{n}.ffn_gate_inp_shexp": "model.layers.{n}.mlp.shared_expert_gate",
    "blk.{n}.ffn_gate_shexp": "model.layers.{n}.mlp.shared_expert.gate_proj",
    "blk.{n}.ffn_up_shexp": "model.layers.{n}.mlp.shared_expert.up_proj",
    "blk.{n}.ffn_down_shexp": "model.layers.{n}.mlp.shared_expert.down_proj",
}
EXPERT_FIELDS: Names = {
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
}
EXPERTS = {"ffn_gate_exps": "experts", "ffn_up_exps": "experts", "ffn_down_exps": "experts"}
# Rotary pairs (i, i + d/2) of these families are stored as (2 i, 2 i + 1).
INTERLEAVED = {"attn_q": "interleaved_q", "attn_k": "interleaved_k"}
# Norm weights of these families are stored with the 1 that the model adds.
_GEMMA_NORMS = "attn_norm ffn_norm post_attention_norm post_ffw_norm attn_q_norm attn_k_norm output_norm"
GEMMA_NORMS = dict.fromkeys(_GEMMA_NORMS.split(), "plus_one")

LLAMA = Architecture(
    "llama",
    DECODER,
    WITH_HEAD_DIM,
    INTERLEAVED,
    biases={"attn_q": "attention_bias", "ffn_up": "mlp_bias"},
)
MIXTRAL = Architecture(  # files of architecture "llama" that have experts
    "mixtral",
    {
        **OUTSIDE,
        **ATTENTION,
        "blk.{n}.ffn_norm": "model.layers.{n}.post_attention_layernorm",
        "blk.{n}.ffn_gate_inp": "model.layers.{n}.block_sparse_moe.gate",
        "blk.{n}.ffn_gate_exps": "model.layers.{n}.block_sparse_moe.experts.{e}.w1",
        "blk.{n}.ffn_down_exps": "model.layers.{n}.block_sparse_moe.experts.{e}.w2",
        "blk.{n}.ffn_up_exps": "model.layers.{n}.block_sparse_moe.experts.{e}.w3",
    },
    {**WITH_HEAD_DIM, "expert_count": "num_local_experts", "expert_used_count": "num_experts_per_tok"},
    {**INTERLEAVED, **EXPERTS},
)
GEMMA = Architecture("gemma", DECODER, WITH_HEAD_DIM, GEMMA_NORMS)
SOFT_CAPS: Names = {
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}
GPT2 = Architecture(
    "gpt2",
    {
        "token_embd": "transformer.wte",
        "position_embd": "transformer.wpe",
        "output_norm": "transformer.ln_f",
        "output": "lm_head",
        "blk.{n}.attn_norm": "transformer.h.{n}.ln_1",
        "blk.{n}.attn_qkv": "transformer.h.{n}.attn.c_attn",
        "blk.{n}.attn_output": "transformer.h.{n}.attn.c_proj",
        "blk.{n}.ffn_norm": "transformer.h.{n}.ln_2",
        "blk.{n}.ffn_up": "transformer.h.{n}.mlp.c_fc",
        "blk.{n}.ffn_down": "transformer.h.{n}.mlp.c_proj",
    },
    {
        "context_length": "n_positions",
        "block_count": "n_layer",
        "embedding_length": "n_embd",
        "feed_forward_length": "n_inner",
        "attention.head_count": "n_head",
        "attention.layer_norm_epsilon": "layer_norm_epsilon",
    },
    dict.fromkeys(("attn_qkv", "attn_output", "ffn_up", "ffn_down"), "transposed"),
)
FALCON = Architecture(
    "falcon",
    {
        "token_embd": "transformer.word_embeddings",
        "output_norm": "transformer.ln_f",
        "output": "lm_head",
        "blk.{n}.attn_norm": "transformer.h.{n}.input_layernorm",
        "blk.{n}.attn_qkv": "transformer.h.{n}.self_attention.query_key_value",
        "blk.{n}.attn_output": "transformer.h.{n}.self_attention.dense",
        "blk.{n}.ffn_up": "transformer.h.{n}.mlp.dense_h_to_4h",
        "blk.{n}.ffn_down": "transformer.h.{n}.mlp.dense_4h_to_h",
    },
    {
        "context_length": "max_position_embeddings",
        "block_count": "num_hidden_layers",
        "embedding_length": "hidden_size",
        "feed_forward_length": "ffn_hidden_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_kv_heads",
        "attention.layer_norm_epsilon": "layer_norm_epsilon",
        "rope.freq_base": "rope_theta",
    },
    {"attn_qkv": "falcon_qkv"},
)
BLOOM = Architecture(
    "bloom",
    {
        "token_embd": "transformer.word_embeddings",
        "token_embd_norm": "transformer.word_embeddings_layernorm",
        "output_norm": "transformer.ln_f",
        "output": "lm_head",
        "blk.{n}.attn_norm": "transformer.h.{n}.input_layernorm",
        "blk.{n}.attn_qkv": "transformer.h.{n}.self_attention.query_key_value",
        "blk.{n}.attn_output": "transformer.h.{n}.self_attention.dense",
        "blk.{n}.ffn_norm": "transformer.h.{n}.post_attention_layernorm",
        "blk.{n}.ffn_up": "transformer.h.{n}.mlp.dense_h_to_4h",
        "blk.{n}.ffn_down": "transformer.h.{n}.mlp.dense_4h_to_h",
    },
    {
        "block_count": "n_layer",
        "embedding_length": "hidden_size",
        "attention.head_count": "n_head",
        "attention.layer_norm_epsilon": "layer_norm_epsilon",
    },
    {"attn_qkv": "bloom_qkv"},
)
STABLELM = Architecture(
    "stablelm",
    {
        **DECODER,
        "blk.{n}.attn_q_norm": "model.layers.{n}.self_attn.q_layernorm.norms.{e}",
        "blk.{n}.attn_k_norm": "model.layers.{n}.self_attn.k_layernorm.norms.{e}",
    },
    {
        **{k: v for k, v in FIELDS.items() if k != "attention.layer_norm_rms_epsilon"},
        "attention.layer_norm_epsilon": "layer_norm_eps",
        "use_parallel_residual": "use_parallel_residual",
    },
    {"attn_q_norm": "experts", "attn_k_norm": "experts"},
    biases={"attn_q": "use_qkv_bias"},
    has={"blk.0.attn_q_norm.weight": "qk_layernorm"},
    partial_rotary=True,
)
STARCODER2 = Architecture(
    "starcoder2",
    {
        **OUTSIDE,
        **ATTENTION,
        "blk.{n}.ffn_norm": "model.layers.{n}.post_attention_layernorm",
        "blk.{n}.ffn_up": "model.layers.{n}.mlp.c_fc",
        "blk.{n}.ffn_down": "model.layers.{n}.mlp.c_proj",
    },
    {
        **{k: v for k, v in FIELDS.items() if k != "attention.layer_norm_rms_epsilon"},
        "attention.layer_norm_epsilon": "norm_epsilon",
        "attention.sliding_window": "sliding_window",
    },
    biases={"attn_q": "use_bias"},
)
PHI3 = Architecture(
    "phi3",
    {
        **OUTSIDE,
        "blk.{n}.attn_norm": "model.layers.{n}.input_layernorm",
        "blk.{n}.attn_qkv": "model.layers.{n}.self_attn.qkv_proj",
        "blk.{n}.attn_output": "model.layers.{n}.self_attn.o_proj",
        "blk.{n}.ffn_norm": "model.layers.{n}.post_attention_layernorm",
        "blk.{n}.ffn_up": "model.layers.{n}.mlp.gate_up_proj",
        "blk.{n}.ffn_down": "model.layers.{n}.mlp.down_proj",
    },
    {**FIELDS, "attention.sliding_window": "sliding_window"},
    partial_rotary=True,
)
OLMO2 = Architecture(
    "olmo2",
    {
        **{k: v for k, v in DECODER.items() if k not in ("blk.{n}.attn_norm", "blk.{n}.ffn_norm")},
        **QK_NORMS,
        "blk.{n}.post_attention_norm": "model.layers.{n}.post_attention_layernorm",
        "blk.{n}.post_ffw_norm": "model.layers.{n}.post_feedforward_layernorm",
    },
    FIELDS,
)
GRANITE = Architecture(
    "granite",
    DECODER,
    {
        **FIELDS,
        "attention.scale": "attention_multiplier",
        "embedding_scale": "embedding_multiplier",
        "residual_scale": "residual_multiplier",
        "logit_scale": "logits_scaling",
    },
    INTERLEAVED,
    biases={"attn_q": "attention_bias", "ffn_up": "mlp_bias"},
)

ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": LLAMA,
    "mistral": Architecture("mistral", DECODER, WITH_HEAD_DIM, INTERLEAVED),
    "qwen2": Architecture("qwen2", DECODER, FIELDS),
    "qwen3": Architecture("qwen3", {**DECODER, **QK_NORMS}, WITH_HEAD_DIM, biases={"attn_q": "attention_bias"}),
    "qwen2moe": Architecture("qwen2_moe", {**DECODER, **QWEN_EXPERTS}, {**FIELDS, **EXPERT_FIELDS}, EXPERTS),
    "qwen3moe": Architecture(
        "qwen3_moe",
        {**DECODER, **QK_NORMS, **QWEN_EXPERTS},
        {**WITH_HEAD_DIM, **EXPERT_FIELDS},
        EXPERTS,
        constants={"norm_topk_prob": True},  # as all published models have it; the format has no key for it
    ),
    "gemma": GEMMA,
    "gemma2": Architecture(
        "gemma2",
        SANDWICH,
        {**WITH_HEAD_DIM, **SOFT_CAPS, "attention.sliding_window": "sliding_window"},
        GEMMA_NORMS,
    ),
    "gemma3": Architecture(
        "gemma3_text",
        {**SANDWICH, **QK_NORMS},
        {**WITH_HEAD_DIM, "attention.sliding_window": "sliding_window"},
        GEMMA_NORMS,
    ),
    "phi3": PHI3,
    "gpt2": GPT2,
    "falcon": FALCON,
    "bloom": BLOOM,
    "stablelm": STABLELM,
    "starcoder2": STARCODER2,
    "olmo2": OLMO2,
    "granite": GRANITE,
    "smollm3": Architecture("smollm3", DECODER, FIELDS, INTERLEAVED),
}
