"""ModernBertConfig (arXiv:2412.13663)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig


class ModernBertConfig(PretrainedConfig):
    """The defaults are those of ModernBERT base.

    Every global_attn_every_n_layers-th layer attends to all tokens, the others to local_attention // 2 on each side;
    global_rope_theta and local_rope_theta (the same if None) are the bases of their rotations. classifier_pooling:
    "cls" or "mean". sparse_prediction: while training on masked tokens, score only the places that have a label.
    deterministic_flash_attn, reference_compile, repad_logits_with_grad: kept for the files; they choose among kernels.
    Raises: ValueError for another classifier_pooling.
    """

    model_type = "modernbert"
    rope_names: ClassVar[dict[str, str]] = {  # of newer files
        "full_attention.rope_theta": "global_rope_theta",
        "sliding_attention.rope_theta": "local_rope_theta",
    }

    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    hidden_activation: str = "gelu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    initializer_cutoff_factor: float = 2.0
    norm_eps: float = 1e-5
    norm_bias: bool = False
    pad_token_id: int | None = 50283
    eos_token_id: int | None = 50282
    bos_token_id: int | None = 50281
    cls_token_id: int | None = 50281
    sep_token_id: int | None = 50282
    global_rope_theta: float = 160000.0
    attention_bias: bool = False
    attention_dropout: float = 0.0
    global_attn_every_n_layers: int = 3
    local_attention: int = 128
    local_rope_theta: float | None = 10000.0
    embedding_dropout: float = 0.0
    mlp_bias: bool = False
    mlp_dropout: float = 0.0
    decoder_bias: bool = True
    classifier_pooling: str = "cls"
    classifier_dropout: float = 0.0
    classifier_bias: bool = False
    classifier_activation: str = "gelu"
    deterministic_flash_attn: bool = False
    sparse_prediction: bool = False
    sparse_pred_ignore_index: int = -100
    reference_compile: bool | None = None
    repad_logits_with_grad: bool = False

    def __post_init__(self) -> None:
        if self.classifier_pooling not in ("cls", "mean"):
            raise ValueError(f'classifier_pooling is {self.classifier_pooling!r}; it can be "cls" or "mean".')

    def to_dict(self) -> dict[str, Any]:
        """As `PretrainedConfig.to_dict`, without reference_compile, which belongs to a machine."""
        return {key: value for key, value in super().to_dict().items() if key != "reference_compile"}
