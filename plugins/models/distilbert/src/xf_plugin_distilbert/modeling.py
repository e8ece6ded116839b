"""DistilBERT (arXiv:1910.01108) and its heads: BERT without segments and pooler.

Shapes: B batch, T tokens, V vocabulary, L layers, H heads, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.mask import create_bidirectional_mask
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel, model_forward
from xf.outputs import BaseModelOutput
from xf_blocks.activations import get_activation
from xf_blocks.encoder_attention import EncoderAttention
from xf_blocks.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
)
from xf_blocks.encoder_inputs import check_length, check_text
from xf_blocks.pytorch_utils import apply_chunking_to_forward
from xf_blocks.recorder import Recorder

from .configuration import DistilBertConfig

_EPS = 1e-12  # of all norms; the config has no field for it


class DistilBertPreTrainedModel(PreTrainedModel):
    """What all DistilBERT models declare."""

    config_class = DistilBertConfig
    base_model_prefix = "distilbert"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Embeddings) and self.config.sinusoidal_pos_embds:
            weight = module.position_embeddings.weight
            weight.copy_(sinusoids(*weight.shape))


def sinusoids(positions: int, width: int) -> Tensor:
    """(P, C): sin at even and cos at odd places, of position / 10000^(2i / C) (arXiv:1706.03762, section 3.5)."""
    place_C = torch.arange(width) // 2 * 2
    angle_PC = torch.arange(positions).double()[:, None] / 10000 ** (place_C.double() / width)
    return torch.where(torch.arange(width) % 2 == 0, angle_PC.sin(), angle_PC.cos()).float()


class Embeddings(nn.Module):
    """Words + positions, then LayerNorm and dropout."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.dim, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.dim)
        self.position_embeddings.weight.requires_grad_(not config.sinusoidal_pos_embds)
        self.LayerNorm = nn.LayerNorm(config.dim, eps=_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """input_ids (B, T) or inputs_embeds (B, T, C) -> (B, T, C)."""
        x_BTC = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        length = x_BTC.shape[1]
        check_length(length, self.position_embeddings.num_embeddings)
        positions_T = torch.arange(length, device=x_BTC.device)
        return self.dropout(self.LayerNorm(x_BTC + self.position_embeddings(positions_T)))


class SelfAttention(EncoderAttention):
    """Self-attention under the checkpoint's names."""

    names = ("q_lin", "k_lin", "v_lin", "out_lin")


class FeedForward(nn.Module):
    """dropout(lin2(act(lin1(x)))), in chunks of config.chunk_size_feed_forward tokens."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.chunk_size = config.chunk_size_feed_forward
        self.lin1 = nn.Linear(config.dim, config.hidden_dim)
        self.lin2 = nn.Linear(config.hidden_dim, config.dim)
        self.activation = get_activation(config.activation)
        self.dropout = nn.Dropout(config.dropout)

    def whole(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.dropout(self.lin2(self.activation(self.lin1(x_BTC))))

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return apply_chunking_to_forward(self.whole, self.chunk_size, 1, x_BTC)


class Layer(GradientCheckpointingLayer):
    """Self-attention and feed-forward; each LayerNorm(x + f(x))."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config, config.dim, config.n_heads, config.attention_dropout)
        self.sa_layer_norm = nn.LayerNorm(config.dim, eps=_EPS)
        self.ffn = FeedForward(config)
        self.output_layer_norm = nn.LayerNorm(config.dim, eps=_EPS)

    def forward(
        self, x_BTC: Tensor, mask: Any, head_mask: Tensor | None, output_attentions: bool
    ) -> tuple[Tensor, Tensor | None]:
        """States (B, T, C) and weights (B, H, T, T), where asked."""
        attended_BTC, weights = self.attention(x_BTC, mask, head_mask, output_attentions)
        x_BTC = self.sa_layer_norm(attended_BTC + x_BTC)
        return self.output_layer_norm(self.ffn(x_BTC) + x_BTC), weights


class Layers(nn.Module):
    """The layers, under the name `layer`."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([Layer(config) for _ in range(config.n_layers)])

    def forward(self, x_BTC: Tensor, mask: Any, head_mask: Any, seen: Recorder, output_attentions: bool) -> Tensor:
        """(B, T, C) -> (B, T, C); `seen` collects states and weights."""
        for index, layer in enumerate(self.layer):
            seen.state(x_BTC)
            x_BTC, weights = layer(x_BTC, mask, None if head_mask is None else head_mask[index], output_attentions)
            seen.weights(weights)
        seen.state(x_BTC)
        return x_BTC


class DistilBertModel(DistilBertPreTrainedModel):
    """The encoder."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.transformer = Layers(config)
        self._prune_heads(config.pruned_heads)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    def _prune_heads(self, heads_to_prune: dict[int, list[int]]) -> None:
        for layer, heads in heads_to_prune.items():
            self.transformer.layer[layer].attention.prune_heads(heads)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        """input_ids (B, T) or inputs_embeds (B, T, C); attention_mask (B, T) with 0 at padding, or 3D, or 4D.

        head_mask (H,) or (L, H): 1 to keep a head.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, and for a text that is too long.
        """
        check_text(self, input_ids, inputs_embeds, attention_mask)
        x_BTC = self.embeddings(input_ids, inputs_embeds)
        mask = create_bidirectional_mask(self.config, x_BTC, attention_mask)
        heads = None if head_mask is None else self.get_head_mask(head_mask, self.config.n_layers)
        seen = Recorder(output_hidden_states, output_attentions)
        x_BTC = self.transformer(x_BTC, mask, heads, seen, output_attentions)
        return BaseModelOutput(last_hidden_state=x_BTC, hidden_states=seen.hidden_states, attentions=seen.attentions)


class DistilBertForMaskedLM(EncoderForMaskedLM, DistilBertPreTrainedModel):
    """Vocabulary scores for every place of a text."""

    body_class = DistilBertModel
    tied_weights: ClassVar = {"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"}

    def build_head(self, config: DistilBertConfig) -> None:
        self.activation = get_activation(config.activation)
        self.vocab_transform = nn.Linear(config.dim, config.dim)
        self.vocab_layer_norm = nn.LayerNorm(config.dim, eps=_EPS)
        self.vocab_projector = nn.Linear(config.dim, config.vocab_size)

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        return self.vocab_projector(self.vocab_layer_norm(self.activation(self.vocab_transform(x_BTC))))

    def get_output_embeddings(self) -> nn.Module:
        return self.vocab_projector

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.vocab_projector = new_embeddings


def classifier_with_layer(model: nn.Module, config: DistilBertConfig, labels: int) -> None:
    """The classifier of a whole text: `pre_classifier`, relu, `dropout`, `classifier`."""
    model.pre_classifier = nn.Linear(config.dim, config.dim)
    model.classifier = nn.Linear(config.dim, labels)
    model.dropout = nn.Dropout(config.seq_classif_dropout)


class DistilBertForSequenceClassification(EncoderForSequenceClassification, DistilBertPreTrainedModel):
    """Classifies a text by the state of its first token."""

    body_class = DistilBertModel

    def build_head(self, config: DistilBertConfig) -> None:
        classifier_with_layer(self, config, config.num_labels)

    def classify(self, outputs: Any) -> Tensor:
        return self.classifier(self.dropout(F.relu(self.pre_classifier(outputs.last_hidden_state[:, 0]))))


class DistilBertForMultipleChoice(EncoderForMultipleChoice, DistilBertPreTrainedModel):
    """Scores each of several continuations."""

    body_class = DistilBertModel

    def build_head(self, config: DistilBertConfig) -> None:
        classifier_with_layer(self, config, 1)

    def classify(self, outputs: Any) -> Tensor:
        return self.classifier(self.dropout(F.relu(self.pre_classifier(outputs.last_hidden_state[:, 0]))))


class DistilBertForTokenClassification(EncoderForTokenClassification, DistilBertPreTrainedModel):
    """Classifies each token."""

    body_class = DistilBertModel

    def build_head(self, config: DistilBertConfig) -> None:
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.dim, config.num_labels)


class DistilBertForQuestionAnswering(EncoderForQuestionAnswering, DistilBertPreTrainedModel):
    """Marks the span of an answer."""

    body_class = DistilBertModel

    def build_head(self, config: DistilBertConfig) -> None:
        if config.num_labels != 2:
            raise ValueError(f"An answer has a start and an end: num_labels must be 2, not {config.num_labels}.")
        self.dropout = nn.Dropout(config.qa_dropout)
        self.qa_outputs = nn.Linear(config.dim, config.num_labels)

    def answer(self, outputs: Any, start_positions: Tensor | None, end_positions: Tensor | None) -> Any:
        outputs.last_hidden_state = self.dropout(outputs.last_hidden_state)
        return super().answer(outputs, start_positions, end_positions)
