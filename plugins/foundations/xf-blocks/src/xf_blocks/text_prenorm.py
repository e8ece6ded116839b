"""BERT's layers with the norm before each part and one after all (arXiv:2002.04745), for families that name them.

Shapes: B batch, T tokens, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from xf.interfaces.model import GradientCheckpointingLayer
from xf.outputs import BaseModelOutputWithPastAndCrossAttentions

from .text_attention import TextAttentionBlock, TextCrossAttention, TextSelfAttention, self_attention_class
from .text_encoder import TextEmbeddings, TextEncoder, TextEncoderLayer, TextIntermediate


def layer_norm(config: Any) -> nn.LayerNorm:
    """The LayerNorm of the config."""
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class UnnormedEmbeddings(TextEmbeddings):
    """BERT's embeddings without a norm: the first layer has one."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.LayerNorm = nn.Identity()


class AddedOutput(nn.Module):
    """x + dropout(dense(y))."""

    def __init__(self, config: Any, input_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(input_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """y: the branch. x: what it is added to. Both (B, T, ...)."""
        return x + self.dropout(self.dense(y))


class PreNormAttentionBlock(TextAttentionBlock):
    """x + attention(norm(x)); norm_name: what the checkpoint calls the norm."""

    norm_name: ClassVar[str] = "LayerNorm"

    def __init__(self, config: Any, layer_idx: int, attention_class: type[TextSelfAttention]) -> None:
        nn.Module.__init__(self)
        self.self = attention_class(config, layer_idx)
        self.output = AddedOutput(config, config.hidden_size)  # type: ignore[assignment]
        self.pruned_heads: set[int] = set()
        setattr(self, self.norm_name, layer_norm(config))

    def forward(self, x_BTC: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """As the attention's forward."""
        attended, weights = self.self(getattr(self, self.norm_name)(x_BTC), *args, **kwargs)
        return self.output(attended, x_BTC), weights


class PreNormLayer(TextEncoderLayer):
    """Attention and feed-forward, each x + f(norm(x))."""

    block_class: ClassVar[type[PreNormAttentionBlock]] = PreNormAttentionBlock
    norm_name: ClassVar[str] = "LayerNorm"

    def __init__(self, config: Any, layer_idx: int) -> None:
        GradientCheckpointingLayer.__init__(self)
        self.chunk_size_feed_forward = config.chunk_size_feed_forward
        self.attention = self.block_class(config, layer_idx, self.attention_class(config))
        if config.add_cross_attention:
            if not config.is_decoder:
                raise ValueError("add_cross_attention=True needs is_decoder=True.")
            self.crossattention = self.block_class(config, layer_idx, TextCrossAttention)
        setattr(self, self.norm_name, layer_norm(config))
        self.intermediate = TextIntermediate(config)
        self.output = AddedOutput(config, config.intermediate_size)  # type: ignore[assignment]

    @staticmethod
    def attention_class(config: Any) -> type[TextSelfAttention]:
        """The self-attention of the config."""
        return self_attention_class(config)

    def feed_forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.output(self.intermediate(getattr(self, self.norm_name)(x_BTC)), x_BTC)


class PreNormEncoder(TextEncoder):
    """The layers and the norm after them; the last of the hidden states is normed."""

    layer_class = PreNormLayer
    norm_name: ClassVar[str] = "LayerNorm"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        setattr(self, self.norm_name, layer_norm(config))

    def forward(self, *args: Any, **kwargs: Any) -> BaseModelOutputWithPastAndCrossAttentions:
        """As `TextEncoder.forward`."""
        output = super().forward(*args, **kwargs)
        output.last_hidden_state = getattr(self, self.norm_name)(output.last_hidden_state)
        if output.hidden_states is not None:
            output.hidden_states = (*output.hidden_states[:-1], output.last_hidden_state)
        return output
