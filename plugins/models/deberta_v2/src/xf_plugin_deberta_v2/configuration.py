"""DebertaV2Config (arXiv:2006.03654, arXiv:2111.09543)."""

from __future__ import annotations

from xf.interfaces.config import PretrainedConfig


class DebertaV2Config(PretrainedConfig):
    """The defaults are those of DeBERTa-v2 xlarge, except for relative attention.

    relative_attention: whether positions act in the scores; pos_att_type: which terms, "c2p" (content to position)
    and "p2c", as a list or joined by "|". max_relative_positions: max_position_embeddings if below 1.
    position_biased_input: whether the embeddings have positions too. pooler_hidden_size: hidden_size if it is not set.
    legacy: the layout of the head for masked tokens.
    Further keys that checkpoints have: position_buckets (distances beyond half of them share buckets), norm_rel_ebd
    ("layer_norm"), share_att_key (positions use the projections of content), conv_kernel_size, conv_act, conv_groups (a
    convolution beside the first layer).
    """

    model_type = "deberta-v2"

    vocab_size: int = 128100
    hidden_size: int = 1536
    num_hidden_layers: int = 24
    num_attention_heads: int = 24
    intermediate_size: int = 6144
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
