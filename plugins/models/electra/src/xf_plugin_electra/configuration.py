"""ElectraConfig (arXiv:2003.10555)."""

from __future__ import annotations

from xf.interfaces.config import PretrainedConfig


class ElectraConfig(PretrainedConfig):
    """The defaults are those of the small discriminator.

    embedding_size: width of the embeddings, which are projected where it is not hidden_size. summary_*: how the head
    for multiple choice makes one vector of a text, see `xf_blocks.sequence_summary`. The rest is as for BERT.
    """

    model_type = "electra"

    vocab_size: int = 30522
    embedding_size: int = 128
    hidden_size: int = 256
    num_hidden_layers: int = 12
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    summary_type: str = "first"
    summary_use_proj: bool = True
    summary_activation: str | None = "gelu"
    summary_last_dropout: float | None = 0.1
    pad_token_id: int | None = 0
    position_embedding_type: str | None = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None
