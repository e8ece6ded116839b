"""GPTNeoConfig (Black et al. 2021, "GPT-Neo: Large scale autoregressive language modeling with Mesh-Tensorflow")."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig

_KINDS = {"global": "full_attention", "local": "sliding_attention"}


class GPTNeoConfig(PretrainedConfig):
    """The defaults are those of GPT-Neo 1.3B.

    attention_types: [[["global", "local"], 12]] is that pair twelve times; attention_layers, the list of all layers,
    follows from it. window_size: how many tokens a local layer sees, its own included. intermediate_size: 4 hidden_size
    if None.
    """

    model_type = "gpt_neo"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]
    attribute_map: ClassVar = {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}

    vocab_size: int = 50257
    max_position_embeddings: int = 2048
    hidden_size: int = 2048
    num_layers: int = 24
    attention_types: list[Any] = [[["global", "local"], 12]]
    num_heads: int = 16
    intermediate_size: int | None = None
    window_size: int = 256
    activation_function: str = "gelu_new"
    resid_dropout: float = 0.0
    embed_dropout: float = 0.0
    attention_dropout: float = 0.0
    classifier_dropout: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256

    def __post_init__(self) -> None:
        self.attention_layers = self.expand_attention_types_params(self.attention_types)
        if len(self.attention_layers) != self.num_layers:
            raise ValueError(
                f"attention_types names {len(self.attention_layers)} layers, num_layers is {self.num_layers}: "
                f"{self.attention_types!r}."
            )
        unknown = sorted(set(map(str, self.attention_layers)) - set(_KINDS))
        if unknown:
            raise ValueError(f"attention_types holds {unknown}; a layer can be global or local.")
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size ({self.hidden_size}) must be a multiple of num_heads ({self.num_heads}).")

    @staticmethod
    def expand_attention_types_params(attention_types: list[Any]) -> list[str]:
        """[[[kinds ...], times] ...] as one list of kinds.

        Raises: ValueError for anything else.
        """
        try:
            return [kind for kinds, times in copy.deepcopy(attention_types) for kind in list(kinds) * times]
        except (TypeError, ValueError):
            raise ValueError(f"attention_types must be [[[kinds], times], ...], not {attention_types!r}.") from None

    @property
    def layer_types(self) -> list[str]:
        """The kind of each layer as masks and caches call it."""
        return [_KINDS[kind] for kind in self.attention_layers]

    @property
    def sliding_window(self) -> int:
        """window_size."""
        return self.window_size
