"""EsmConfig (ESM-1b: doi 10.1073/pnas.2016239118, ESM-2: doi 10.1126/science.ade2574)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig


class EsmConfig(PretrainedConfig):
    """Sizes of a base model. vocab_size, mask_token_id and pad_token_id have no default: 33, 32 and 1 as published.

    position_embedding_type: "absolute" (ESM-1b), "rotary" (ESM-2), "relative_key" or "relative_key_query".
    emb_layer_norm_before: a norm after the embeddings. token_dropout: masked tokens are zero and the others scaled, as
    in training. vocab_list, esmfold_config, is_folding_model: kept for the files.
    """

    model_type = "esm"
    hidden_act: ClassVar[str] = "gelu"

    vocab_size: int | None = None
    mask_token_id: int | None = None
    pad_token_id: int | None = None
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 1026
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    position_embedding_type: str | None = "absolute"
    use_cache: bool = True
    emb_layer_norm_before: bool | None = None
    token_dropout: bool = False
    is_folding_model: bool = False
    esmfold_config: dict[str, Any] | None = None
    vocab_list: list[str] | None = None
