"""OPTConfig (arXiv:2205.01068)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class OPTConfig(PretrainedConfig):
    """The defaults are those of OPT 125M.

    word_embed_proj_dim: width of token embeddings and logits, hidden_size if None; where they differ, two matrices
    translate. do_layer_norm_before: norms come before attention and feed-forward block (all sizes but 350M).
    _remove_final_layer_norm: for checkpoints trained without the last norm. layerdrop: chance of a layer to be skipped
    in training.
    """

    model_type = "opt"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    attribute_map: ClassVar = {"initializer_range": "init_std"}

    vocab_size: int = 50272
    hidden_size: int = 768
    num_hidden_layers: int = 12
    ffn_dim: int = 3072
    max_position_embeddings: int = 2048
    do_layer_norm_before: bool = True
    _remove_final_layer_norm: bool = False
    word_embed_proj_dim: int | None = None
    dropout: float = 0.1
    attention_dropout: float = 0.0
    num_attention_heads: int = 12
    activation_function: str = "relu"
    layerdrop: float = 0.0
    init_std: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 2
    enable_bias: bool = True
    layer_norm_elementwise_affine: bool = True

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_attention_heads "
                f"({self.num_attention_heads})."
            )
        if self.word_embed_proj_dim is None:
            self.word_embed_proj_dim = self.hidden_size
