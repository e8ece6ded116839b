"""ModernBERT (arXiv:2412.13663) and its heads.

Texts without padding ("unpadded", one after the other) come as indices: see `ModernBertModel.forward`.

Shapes: B batch, T tokens, N tokens that are not padding, V vocabulary, C width.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.mask import create_bidirectional_mask, to_additive
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import BaseModelOutput, MaskedLMOutput
from xf_blocks.activations import get_activation
from xf_blocks.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
)
from xf_blocks.encoder_inputs import check_text
from xf_blocks.losses import cross_entropy
from xf_blocks.recorder import Recorder

from .configuration import ModernBertConfig
from .layers import ModernBertAttention, ModernBertEmbeddings, ModernBertEncoderLayer, ModernBertMLP, norm


class ModernBertPreTrainedModel(PreTrainedModel):
    """What all ModernBERT models declare."""

    config_class = ModernBertConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(sliding_window=True)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Cut normals; what adds to the residual stream is smaller by the square root of its 2 L terms."""
        super()._init_weights(module)
        config = self.config
        small = config.initializer_range / math.sqrt(2 * config.num_hidden_layers)
        wide = config.hidden_size**-0.5
        stds = {ModernBertAttention: {"Wo": small}, ModernBertMLP: {"Wo": small}}.get(type(module), {})
        if isinstance(module, PreTrainedModel):
            stds = {"decoder": small, "classifier": wide}
        if isinstance(module, (nn.Linear, nn.Embedding)):
            self._cut_normal(module, config.initializer_range)
        for name, std in stds.items():
            if isinstance(getattr(module, name, None), nn.Linear):
                self._cut_normal(getattr(module, name), std)

    def _cut_normal(self, module: nn.Linear | nn.Embedding, std: float) -> None:
        cut = self.config.initializer_cutoff_factor * std
        nn.init.trunc_normal_(module.weight, 0.0, std, -cut, cut)


def window_function(reach: int) -> Any:
    """Mask function: keys up to `reach` places before or after the query."""
    return lambda batch_idx, head_idx, q_idx, kv_idx: (kv_idx - q_idx <= reach) & (q_idx - kv_idx <= reach)


class ModernBertModel(ModernBertPreTrainedModel):
    """The encoder."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config)
        self.embeddings = ModernBertEmbeddings(config)
        self.layers = nn.ModuleList([ModernBertEncoderLayer(config, i) for i in range(config.num_hidden_layers)])
        self.final_norm = norm(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.tok_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.tok_embeddings = value

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        sliding_window_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        indices: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
        max_seqlen: int | None = None,
        batch_size: int | None = None,
        seq_len: int | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        """input_ids (B, T) or inputs_embeds (B, T, C); attention_mask (B, T) with 0 at padding, or 3D, or 4D.

        sliding_window_mask: a ready mask (B, 1, T, T) of local layers in place of the window of the config.
        Unpadded: input_ids (N,) (or inputs_embeds (N, C), position_ids (N,)) with indices (N,), the places of the
        tokens in batch_size x seq_len places; the states come as (N, C). cu_seqlens and max_seqlen say the same and are
        not read: any attention backend runs it, on the padded batch.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, or for indices without sizes.
        """
        check_text(self, input_ids, inputs_embeds, attention_mask if indices is None else indices)
        if indices is not None:
            if batch_size is None or seq_len is None:
                raise ValueError("Unpadded texts need batch_size and seq_len beside indices.")
            sizes = (batch_size, seq_len)
            attention_mask = repad(torch.ones_like(indices), indices, sizes)
            input_ids, inputs_embeds, position_ids = (
                repad(x, indices, sizes) for x in (input_ids, inputs_embeds, position_ids)
            )
        x_BTC = self.embeddings(input_ids, inputs_embeds)
        masks = self.masks(x_BTC, attention_mask, sliding_window_mask)
        seen = Recorder(output_hidden_states, output_attentions)
        for layer in self.layers:
            seen.state(x_BTC)
            x_BTC, weights = layer(x_BTC, masks, position_ids, output_attentions)
            seen.weights(weights)
        seen.state(x_BTC)
        x_BTC = self.final_norm(x_BTC)
        states = seen.hidden_states
        if indices is not None:
            x_BTC = x_BTC.flatten(0, 1)[indices]
            states = None if states is None else tuple(state.flatten(0, 1)[indices] for state in states)
        return BaseModelOutput(last_hidden_state=x_BTC, hidden_states=states, attentions=seen.attentions)

    def masks(self, x_BTC: Tensor, attention_mask: Any, sliding_window_mask: Tensor | None) -> tuple[Any, Any]:
        """(of global layers, of local ones), as the backend reads them; None where all is seen."""
        reach = self.config.local_attention // 2
        everywhere = create_bidirectional_mask(self.config, x_BTC, attention_mask)
        near = everywhere
        if sliding_window_mask is not None:
            near = create_bidirectional_mask(self.config, x_BTC, sliding_window_mask)
        elif x_BTC.shape[1] > reach + 1:
            if isinstance(attention_mask, Tensor) and attention_mask.ndim != 2:
                raise ValueError("A ready attention_mask needs a sliding_window_mask for the local layers beside it.")
            near = create_bidirectional_mask(
                self.config, x_BTC, attention_mask, and_mask_function=window_function(reach)
            )
        return self.additive(everywhere, x_BTC.dtype), self.additive(near, x_BTC.dtype)

    @staticmethod
    def additive(mask: Any, dtype: torch.dtype) -> Any:
        """Far from all tokens padding sees nothing: as an additive mask that agrees in all backends."""
        return to_additive(mask, dtype) if isinstance(mask, Tensor) and mask.dtype == torch.bool else mask


def repad(x: Tensor | None, indices: Tensor, sizes: tuple[int, int]) -> Tensor | None:
    """(N, ...) at their places among B x T, zero elsewhere: (B, T, ...)."""
    if x is None:
        return None
    padded = x.new_zeros((sizes[0] * sizes[1], *x.shape[1:]))
    return padded.index_copy(0, indices, x).view(*sizes, *x.shape[1:])


class ModernBertPredictionHead(nn.Module):
    """norm(act(dense(x)))."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.classifier_bias)
        self.act = get_activation(config.classifier_activation)
        self.norm = norm(config)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.norm(self.act(self.dense(x)))


class ModernBertForMaskedLM(EncoderForMaskedLM, ModernBertPreTrainedModel):
    """Vocabulary scores for every place of a text, or with config.sparse_prediction and labels where there is one."""

    body_class = ModernBertModel
    tied_weights: ClassVar = {"decoder.weight": "model.embeddings.tok_embeddings.weight"}

    def build_head(self, config: ModernBertConfig) -> None:
        self.head = ModernBertPredictionHead(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=config.decoder_bias)

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        return self.decoder(self.head(x_BTC))

    def answer(self, outputs: Any, labels: Tensor | None) -> MaskedLMOutput:
        """labels (B, T), -100 (or config.sparse_pred_ignore_index) where there is no loss."""
        if labels is None or not self.config.sparse_prediction:
            return super().answer(outputs, labels)
        labelled = labels.flatten() != self.config.sparse_pred_ignore_index
        logits_NV = self.lm_logits(outputs.last_hidden_state.flatten(0, -2)[labelled])
        return MaskedLMOutput(
            loss=cross_entropy(logits_NV, labels.flatten()[labelled]),
            logits=logits_NV,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def get_output_embeddings(self) -> nn.Module:
        return self.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.decoder = new_embeddings


def build_classifier(model: nn.Module, config: ModernBertConfig, labels: int) -> None:
    """`head`, dropout, `classifier`."""
    model.head = ModernBertPredictionHead(config)
    model.dropout = nn.Dropout(config.classifier_dropout)
    model.classifier = nn.Linear(config.hidden_size, labels)


class PooledText(ModernBertPreTrainedModel):
    """A head that reads one state of a text: of its first token, or the mean of all that are not padding."""

    def run_body(self, given: dict[str, Any]) -> Any:
        if given.get("indices") is not None:
            raise ValueError(f"{type(self).__name__} reads whole texts: give them padded, without indices.")
        outputs: Any = super().run_body(given)  # type: ignore[misc]
        outputs.attention_mask = given.get("attention_mask")
        return outputs

    def classify(self, outputs: Any) -> Tensor:
        x_BTC, mask_BT = outputs.last_hidden_state, outputs.attention_mask
        if self.config.classifier_pooling == "cls":
            pooled_BC = x_BTC[:, 0]
        elif mask_BT is None:
            pooled_BC = x_BTC.mean(1)
        else:
            pooled_BC = (x_BTC * mask_BT[..., None]).sum(1) / mask_BT.sum(1, keepdim=True)
        return self.classifier(self.dropout(self.head(pooled_BC)))


class ModernBertForSequenceClassification(PooledText, EncoderForSequenceClassification):
    """Classifies a text by its pooled states."""

    body_class = ModernBertModel

    def build_head(self, config: ModernBertConfig) -> None:
        build_classifier(self, config, config.num_labels)


class ModernBertForMultipleChoice(PooledText, EncoderForMultipleChoice):
    """Scores each of several continuations."""

    body_class = ModernBertModel

    def build_head(self, config: ModernBertConfig) -> None:
        build_classifier(self, config, 1)


class ModernBertForTokenClassification(EncoderForTokenClassification, ModernBertPreTrainedModel):
    """Classifies each token."""

    body_class = ModernBertModel

    def build_head(self, config: ModernBertConfig) -> None:
        build_classifier(self, config, config.num_labels)

    def answer(self, outputs: Any, labels: Tensor | None) -> Any:
        outputs.last_hidden_state = self.head(outputs.last_hidden_state)
        return super().answer(outputs, labels)


class ModernBertForQuestionAnswering(EncoderForQuestionAnswering, ModernBertPreTrainedModel):
    """Marks the span of an answer."""

    body_class = ModernBertModel

    def build_head(self, config: ModernBertConfig) -> None:
        build_classifier(self, config, config.num_labels)

    def answer(self, outputs: Any, start_positions: Tensor | None, end_positions: Tensor | None) -> Any:
        outputs.last_hidden_state = self.dropout(self.head(outputs.last_hidden_state))
        return super().answer(outputs, start_positions, end_positions)

    @property
    def qa_outputs(self) -> nn.Module:
        """The layer that scores start and end, which the files call classifier."""
        return self.classifier
