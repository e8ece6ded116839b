"""AlbertConfig (arXiv:1909.11942)."""

from __future__ import annotations

from xf.interfaces.config import PretrainedConfig


class AlbertConfig(PretrainedConfig):
    """The defaults are those of ALBERT xxlarge.

    num_hidden_layers layers share the weights of num_hidden_groups groups, each of inner_group_num layers.
    embedding_size: width of the embeddings. classifier_dropout_prob: of all heads that classify. The rest: as for BERT.
    """

    model_type = "albert"

    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 4096
    num_hidden_layers: int = 12
    num_hidden_groups: int = 1
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    inner_group_num: int = 1
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0
    attention_probs_dropout_prob: float = 0
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    classifier_dropout_prob: float = 0.1
    position_embedding_type: str | None = "absolute"
    pad_token_id: int | None = 0
    bos_token_id: int | None = 2
    eos_token_id: int | None = 3
