"""CanineConfig (arXiv:2103.06874)."""

from __future__ import annotations

from xf.interfaces.config import PretrainedConfig


class CanineConfig(PretrainedConfig):
    """The defaults are those of CANINE.

    num_hash_functions, num_hash_buckets: how code points find their embeddings. local_transformer_stride: characters a
    block of the first layer. downsampling_rate: characters a molecule. upsampling_kernel_size: of the convolution that
    joins both again. bos_token_id, eos_token_id: code points of the private use area (U+E000, U+E001).
    """

    model_type = "canine"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 16384
    type_vocab_size: int = 16
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = 0xE000
    eos_token_id: int | None = 0xE001
    downsampling_rate: int = 4
    upsampling_kernel_size: int = 4
    num_hash_functions: int = 8
    num_hash_buckets: int = 16384
    local_transformer_stride: int = 128
