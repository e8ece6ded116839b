"""FalconConfig (arXiv:2311.16867)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.rope_config import settle_rope_scaling


class FalconConfig(PretrainedConfig):
    """The defaults are those of Falcon 7B.

    new_decoder_architecture: num_kv_heads groups of queries, and num_ln_in_parallel_attn norms (2 if None) for the
    branches of a layer, as in Falcon 40B; the fields below do not matter then. multi_query: one key-value head.
    parallel_attn: attention and feed-forward block side by side. alibi: biases that fall with distance in place of
    rotation. ffn_hidden_size: 4 hidden_size if None. n_embed: older name of hidden_size in files.
    """

    model_type = "falcon"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]

    vocab_size: int = 65024
    hidden_size: int = 4544
    num_hidden_layers: int = 32
    num_attention_heads: int = 71
    num_ln_in_parallel_attn: int | None = None
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    num_kv_heads: int | None = None
    alibi: bool = False
    new_decoder_architecture: bool = False
    multi_query: bool = True
    parallel_attn: bool = True
    bias: bool = False
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    bos_token_id: int | None = 11
    eos_token_id: int | list[int] | None = 11
    ffn_hidden_size: int | None = None
    activation: str = "gelu"

    def __post_init__(self) -> None:
        older = self.__dict__.pop("n_embed", None)
        if older is not None:
            self.hidden_size = older
        if self.num_kv_heads is None:
            self.num_kv_heads = self.num_attention_heads
        if self.ffn_hidden_size is None:
            self.ffn_hidden_size = 4 * self.hidden_size
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_attention_heads "
                f"({self.num_attention_heads})."
            )
        if self.new_decoder_architecture and self.num_attention_heads % self.num_kv_heads:
            raise ValueError(
                f"num_attention_heads ({self.num_attention_heads}) must be a multiple of num_kv_heads "
                f"({self.num_kv_heads})."
            )
        settle_rope_scaling(self)

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def rotary(self) -> bool:
        """Whether positions are rotations."""
        return not self.alibi

    @property
    def num_key_value_heads(self) -> int:
        """How many heads of keys and values a layer has."""
        if self.new_decoder_architecture:
            return int(self.num_kv_heads)
        return 1 if self.multi_query else self.num_attention_heads
