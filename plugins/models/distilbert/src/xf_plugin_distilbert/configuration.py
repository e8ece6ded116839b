"""DistilBertConfig (arXiv:1910.01108)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class DistilBertConfig(PretrainedConfig):
    """The defaults are those of DistilBERT base, uncased.

    sinusoidal_pos_embds: positions start as sinusoids, which are not trained. qa_dropout, seq_classif_dropout: of the
    heads for question answering, and for classification and multiple choice.
    """

    model_type = "distilbert"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
    }

    vocab_size: int = 30522
    max_position_embeddings: int = 512
    sinusoidal_pos_embds: bool = False
    n_layers: int = 6
    n_heads: int = 12
    dim: int = 768
    hidden_dim: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"
    initializer_range: float = 0.02
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2
    pad_token_id: int | None = 0
