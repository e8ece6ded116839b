"""JambaConfig (arXiv:2403.19887)."""

from __future__ import annotations

import math
from typing import ClassVar

from xf.interfaces.config import PretrainedConfig
from xf_blocks.decoder_config import check_experts, settle_key_value_heads


class JambaConfig(PretrainedConfig):
    """The defaults are those of Jamba v0.1.

    attn_layer_period, attn_layer_offset: layer i attends if i % period == offset, else it is a state-space layer.
    expert_layer_period, expert_layer_offset: likewise for experts. mamba_*: sizes of the state-space layers;
    mamba_dt_rank "auto" is hidden_size / 16, rounded up. use_mamba_kernels: named by files, of no effect on results.
    num_logits_to_keep: of the prompt, in generation.
    """

    model_type = "jamba"
    keys_to_ignore_at_inference: ClassVar = ["past_key_values"]

    vocab_size: int = 65536
    tie_word_embeddings: bool = False
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 8
    hidden_act: str = "silu"
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    num_logits_to_keep: int | None = 1
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    sliding_window: int | None = None
    max_position_embeddings: int = 262144
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 2
    num_experts: int = 16
    expert_layer_period: int = 2
    expert_layer_offset: int = 1
    attn_layer_period: int = 8
    attn_layer_offset: int = 4
    use_mamba_kernels: bool = True
    mamba_d_state: int = 16
    mamba_d_conv: int = 4
    mamba_expand: int = 2
    mamba_dt_rank: int | str = "auto"
    mamba_conv_bias: bool = True
    mamba_proj_bias: bool = False

    def __post_init__(self) -> None:
        settle_key_value_heads(self)
        check_experts(self, self.num_experts)
        for name in ("attn", "expert"):
            period, offset = getattr(self, f"{name}_layer_period"), getattr(self, f"{name}_layer_offset")
            if offset >= period:
                raise ValueError(f"{name}_layer_offset ({offset}) must be smaller than {name}_layer_period ({period}).")
        if self.mamba_dt_rank == "auto":
            self.mamba_dt_rank = math.ceil(self.hidden_size / 16)

    @property
    def layers_block_type(self) -> list[str]:
        """ "attention" or "mamba" for each layer."""
        period, offset = self.attn_layer_period, self.attn_layer_offset
        return ["attention" if index % period == offset else "mamba" for index in range(self.num_hidden_layers)]

    @property
    def layers_num_experts(self) -> list[int]:
        """How many experts each layer has; 1 is a plain feed-forward block."""
        period, offset = self.expert_layer_period, self.expert_layer_offset
        return [self.num_experts if index % period == offset else 1 for index in range(self.num_hidden_layers)]

    @property
    def layer_types(self) -> list[str]:
        """The kind of each layer as masks and caches call it."""
        return ["full_attention" if kind == "attention" else kind for kind in self.layers_block_type]
