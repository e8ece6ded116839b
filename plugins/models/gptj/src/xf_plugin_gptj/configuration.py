"""GPTJConfig (Wang and Komatsuzaki 2021, "GPT-J-6B: A 6 billion parameter autoregressive language model")."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class GPTJConfig(PretrainedConfig):
    """The defaults are those of GPT-J 6B.

    rotary_dim: how many channels of each head are rotated, all for None. n_inner: width of the feed-forward block,
    4 n_embd if None.
    """

    model_type = "gptj"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    attribute_map: ClassVar = {
        "max_position_embeddings": "n_positions",
        "hidden_size": "n_embd",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }

    vocab_size: int = 50400
    n_positions: int = 2048
    n_embd: int = 4096
    n_layer: int = 28
    n_head: int = 16
    rotary_dim: int | None = 64
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.0
    embd_pdrop: float = 0.0
    attn_pdrop: float = 0.0
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd ({self.n_embd}) must be a multiple of n_head ({self.n_head}).")
        width = self.n_embd // self.n_head
        if self.rotary_dim is not None and not (0 < self.rotary_dim <= width and self.rotary_dim % 2 == 0):
            raise ValueError(f"rotary_dim ({self.rotary_dim}) must be even and at most n_embd / n_head ({width}).")
