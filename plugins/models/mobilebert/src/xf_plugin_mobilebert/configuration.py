"""MobileBertConfig (arXiv:2004.02984)."""

from __future__ import annotations

from xf.interfaces.config import PretrainedConfig


class MobileBertConfig(PretrainedConfig):
    """The defaults are those of MobileBERT, uncased.

    With use_bottleneck layers work intra_bottleneck_size wide (true_hidden_size, derived; else hidden_size); attention
    reads the bottleneck with use_bottleneck_attention, or queries and keys a bottleneck of their own with
    key_query_shared_bottleneck. trigram_input: each word's embedding lies beside those of its neighbours.
    normalization_type: "no_norm" (scale and shift alone) or "layer_norm". classifier_activation: the pooler has a
    layer.
    Raises: ValueError for another normalization_type.
    """

    model_type = "mobilebert"

    vocab_size: int = 30522
    hidden_size: int = 512
    num_hidden_layers: int = 24
    num_attention_heads: int = 4
    intermediate_size: int = 512
    hidden_act: str = "relu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    embedding_size: int = 128
    trigram_input: bool = True
    use_bottleneck: bool = True
    intra_bottleneck_size: int = 128
    use_bottleneck_attention: bool = False
    key_query_shared_bottleneck: bool = True
    num_feedforward_networks: int = 4
    normalization_type: str = "no_norm"
    classifier_activation: bool = True
    classifier_dropout: float | None = None
    true_hidden_size: int | None = None

    def __post_init__(self) -> None:
        if self.normalization_type not in ("no_norm", "layer_norm"):
            raise ValueError(f'normalization_type is {self.normalization_type!r}; it can be "no_norm" or "layer_norm".')
        self.true_hidden_size = self.intra_bottleneck_size if self.use_bottleneck else self.hidden_size
