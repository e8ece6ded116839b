"""T5Config: T5, T5 v1.1, Flan-T5 (arXiv:1910.10683, arXiv:2002.05202, arXiv:2210.11416)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class T5BaseConfig(PretrainedConfig):
    """What T5 and LongT5 have in common.

    num_decoder_layers: num_layers if None. feed_forward_proj: an activation, or "gated-" and an activation; it decides
    dense_act_fn and is_gated_act ("gated-gelu" is T5 v1.1's, with the tanh form of GELU).
    Raises: ValueError for a feed_forward_proj of another form.
    """

    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    attribute_map: ClassVar = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0
    feed_forward_proj: str = "relu"
    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1

    def __post_init__(self) -> None:
        if self.num_decoder_layers is None:
            self.num_decoder_layers = self.num_layers
        parts = self.feed_forward_proj.split("-")
        if len(parts) > 2 or (len(parts) == 2 and parts[0] != "gated"):
            raise ValueError(
                f'feed_forward_proj must be an activation or "gated-" and one, not {self.feed_forward_proj!r}.'
            )
        self.dense_act_fn = "gelu_new" if self.feed_forward_proj == "gated-gelu" else parts[-1]
        self.is_gated_act = parts[0] == "gated"


class T5Config(T5BaseConfig):
    """The defaults are those of T5 small. classifier_dropout: of the heads that classify."""

    model_type = "t5"

    classifier_dropout: float = 0.0
