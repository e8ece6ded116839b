"""MegatronBertConfig (arXiv:1909.08053)."""

from __future__ import annotations

from xf.interfaces.config import PretrainedConfig


class MegatronBertConfig(PretrainedConfig):
    """The defaults are those of Megatron-BERT, 345M parameters.

    position_embedding_type: "absolute", "relative_key" (arXiv:1803.02155) or "relative_key_query" (arXiv:2009.13658).
    chunk_size_feed_forward: tokens per chunk of the feed-forward
    block, 0 for all at once. is_decoder, add_cross_attention: see the models.
    """

    model_type = "megatron-bert"

    vocab_size: int = 29056
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    position_embedding_type: str | None = "absolute"
    use_cache: bool = True
