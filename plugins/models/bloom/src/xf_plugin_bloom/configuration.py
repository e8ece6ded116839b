"""BloomConfig (arXiv:2211.05100)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class BloomConfig(PretrainedConfig):
    """apply_residual_connection_post_layernorm: sums start from the normed states. pretraining_tp, slow_but_exact: how
    many devices trained the model, and whether to add up in their order; kept, the result is the same to rounding.
    n_embed: older name of hidden_size in files.
    """

    model_type = "bloom"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    attribute_map: ClassVar = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}

    vocab_size: int = 250880
    hidden_size: int = 64
    n_layer: int = 2
    n_head: int = 8
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    apply_residual_connection_post_layernorm: bool = False
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    pretraining_tp: int = 1
    slow_but_exact: bool = False

    def __post_init__(self) -> None:
        older = self.__dict__.pop("n_embed", None)
        if older is not None:
            self.hidden_size = older
        if self.hidden_size % self.n_head:
            raise ValueError(f"hidden_size ({self.hidden_size}) must be a multiple of n_head ({self.n_head}).")
