"""XLMRobertaXLConfig (arXiv:2105.00572)."""

from __future__ import annotations

from xf.interfaces.config import PretrainedConfig


class XLMRobertaXLConfig(PretrainedConfig):
    """The defaults are those of XLM-RoBERTa-XL.

    max_position_embeddings counts the pad_token_id + 1 positions that no token has: 514 for texts of 512 tokens.
    position_embedding_type, classifier_dropout, chunk_size_feed_forward, is_decoder, add_cross_attention: as for BERT.
    """

    model_type = "xlm-roberta-xl"

    vocab_size: int = 250880
    hidden_size: int = 2560
    num_hidden_layers: int = 36
    num_attention_heads: int = 32
    intermediate_size: int = 10240
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | None = 2
    position_embedding_type: str | None = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None
