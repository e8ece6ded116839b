"""SmolLM3Config (huggingface.co/blog/smollm3)."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import DENSE_PARALLEL_PLAN, settle_key_value_heads, settle_layer_types
from xf_blocks.rope_config import settle_rope_scaling


class SmolLM3Config(PretrainedConfig):
    """The defaults are those of SmolLM3 3B.

    no_rope_layers: for each layer 1 if it rotates queries and keys, 0 if not; by default every
    no_rope_layer_interval-th does not. use_sliding_window: layers without rotation see only the last sliding_window
    positions.
    """

    model_type = "smollm3"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    base_model_tp_plan: ClassVar = DENSE_PARALLEL_PLAN

    vocab_size: int = 128256
    hidden_size: int = 2048
    intermediate_size: int = 11008
    num_hidden_layers: int = 36
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 4
    hidden_act: str = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = 128004
    bos_token_id: int | None = 128000
    eos_token_id: int | list[int] | None = 128001
    rope_theta: float = 2000000.0
    rope_scaling: dict[str, Any] | None = None
    use_sliding_window: bool = False
    sliding_window: int | None = None
    no_rope_layers: list[int] | None = None
    no_rope_layer_interval: int = 4
    layer_types: list[str] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
        settle_rope_scaling(self)
        if self.no_rope_layers is None:
            count, interval = self.num_hidden_layers, self.no_rope_layer_interval
            self.no_rope_layers = [int((index + 1) % interval != 0) for index in range(count)]
        if len(self.no_rope_layers) != self.num_hidden_layers:
            raise ValueError(
                f"no_rope_layers is for {len(self.no_rope_layers)} layers, but there are {self.num_hidden_layers}."
            )
        slides = self.use_sliding_window and self.sliding_window is not None
        settle_layer_types(self, lambda index: slides and not self.no_rope_layers[index])
