"""DebertaConfig (arXiv:2006.03654)."""

from __future__ import annotations

from xf.interfaces.config import PretrainedConfig


class DebertaConfig(PretrainedConfig):
    """The defaults are those of DeBERTa base, except for relative attention.

    relative_attention: whether positions act in the scores; pos_att_type: which terms, "c2p" (content to position)
    and "p2c", as a list or joined by "|". max_relative_positions: max_position_embeddings if below 1.
    position_biased_input: whether the embeddings have positions too. pooler_hidden_size: hidden_size if it is not set.
    legacy: the layout of the head for masked tokens.

    """

    model_type = "deberta"

    vocab_size: int = 50265
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-7
    relative_attention: bool = False
    max_relative_positions: int = -1
    pad_token_id: int | None = 0
    position_biased_input: bool = True
    pos_att_type: list[str] | str | None = None
    pooler_dropout: float = 0
    pooler_hidden_act: str = "gelu"
    legacy: bool = True
    pooler_hidden_size: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.pos_att_type, str):
            self.pos_att_type = [part.strip() for part in self.pos_att_type.lower().split("|")]
        if self.pooler_hidden_size is None:
            self.pooler_hidden_size = self.hidden_size
