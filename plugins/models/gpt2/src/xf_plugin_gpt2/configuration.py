"""GPT2Config: GPT-2 and models of the same architecture (Radford et al. 2019)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class GPT2Config(PretrainedConfig):
    """The defaults are those of the smallest GPT-2.

    n_inner: width of the feed-forward block, 4 n_embd if None. scale_attn_by_inverse_layer_idx: layer i divides its
    scores by i + 1. reorder_and_upcast_attn: scores are computed in float32. summary_*: the choice head of
    GPT2DoubleHeadsModel.
    """

    model_type = "gpt2"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    attribute_map: ClassVar = {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    summary_type: str = "cls_index"
    summary_use_proj: bool = True
    summary_activation: str | None = None
    summary_proj_to_labels: bool = True
    summary_first_dropout: float = 0.1
    scale_attn_weights: bool = True
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    scale_attn_by_inverse_layer_idx: bool = False
    reorder_and_upcast_attn: bool = False
