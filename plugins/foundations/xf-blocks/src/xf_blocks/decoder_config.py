"""What configs of decoders settle after their fields are set. Without torch."""

from __future__ import annotations

from typing import Any

#: how the matrices of a dense decoder are divided among devices: by output ("colwise") or by input ("rowwise")
DENSE_PARALLEL_PLAN = {
    "layers.*.self_attn.q_proj": "colwise",
    "layers.*.self_attn.k_proj": "colwise",
    "layers.*.self_attn.v_proj": "colwise",
    "layers.*.self_attn.o_proj": "rowwise",
    "layers.*.mlp.gate_proj": "colwise",
    "layers.*.mlp.up_proj": "colwise",
    "layers.*.mlp.down_proj": "rowwise",
}
LAYER_TYPES = ("full_attention", "sliding_attention", "chunked_attention")


def settle_key_value_heads(config: Any) -> None:
    """num_key_value_heads: as many as there are query heads where it is None."""
    if config.num_key_value_heads is None:
        config.num_key_value_heads = config.num_attention_heads


def check_experts(config: Any, experts: int) -> None:
    """Raises: ValueError unless a token can go through num_experts_per_tok of `experts`."""
    if experts and not 1 <= config.num_experts_per_tok <= experts:
        raise ValueError(f"num_experts_per_tok is {config.num_experts_per_tok}, but there are {experts} experts.")


def check_layer_types(config: Any) -> None:
    """Raises: ValueError unless layer_types names a known kind for every layer."""
    unknown = sorted(set(config.layer_types) - set(LAYER_TYPES))
    if unknown:
        raise ValueError(f"layer_types holds {unknown}; a layer can be {', '.join(LAYER_TYPES)}.")


def settle_layer_types(config: Any, slides: Any) -> None:
    """layer_types, where it is None: sliding_attention for the layers whose index `slides` says yes to, else full."""
    if config.layer_types is None:
        config.layer_types = [
            "sliding_attention" if slides(index) else "full_attention" for index in range(config.num_hidden_layers)
        ]
    check_layer_types(config)
