"""The heads of XLNet (arXiv:1906.08237).

Shapes: B batch, T tokens, M places to predict, V vocabulary, N labels, S start beams, E end beams, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf_blocks.encoder_heads import (
    EncoderForMaskedLM,
    EncoderForMultipleChoice,
    EncoderForQuestionAnswering,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
    EncoderWithHead,
)
from xf_blocks.losses import question_answering_loss
from xf_blocks.sequence_summary import SequenceSummary

from .configuration import XLNetConfig
from .modeling import XLNetModel, XLNetPreTrainedModel
from .outputs import (
    XLNetForMultipleChoiceOutput,
    XLNetForQuestionAnsweringOutput,
    XLNetForQuestionAnsweringSimpleOutput,
    XLNetForSequenceClassificationOutput,
    XLNetForTokenClassificationOutput,
    XLNetLMHeadModelOutput,
)


class WithMems(EncoderWithHead, XLNetPreTrainedModel):
    """A head whose output has mems too."""

    output_class: ClassVar[type[Any]]

    def answer(self, outputs: Any, *args: Any, **kwargs: Any) -> Any:
        found = super().answer(outputs, *args, **kwargs)
        return self.output_class(**found, mems=outputs.mems)


class XLNetLMHeadModel(WithMems, EncoderForMaskedLM):
    """Vocabulary scores for every token, or every place to predict; labels of the same shape, not moved."""

    body_class = XLNetModel
    output_class = XLNetLMHeadModelOutput
    tied_weights: ClassVar = {"lm_loss.weight": "transformer.word_embedding.weight"}

    def build_head(self, config: XLNetConfig) -> None:
        self.lm_loss = nn.Linear(config.d_model, config.vocab_size)

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        return self.lm_loss(x_BTC)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_loss

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.lm_loss = new_embeddings


def build_summary(model: nn.Module, config: XLNetConfig, labels: int) -> None:
    """`sequence_summary` and `logits_proj`."""
    model.sequence_summary = SequenceSummary(config)
    model.logits_proj = nn.Linear(config.d_model, labels)


class XLNetForSequenceClassification(WithMems, EncoderForSequenceClassification):
    """Classifies a text by its summary."""

    body_class = XLNetModel
    output_class = XLNetForSequenceClassificationOutput

    def build_head(self, config: XLNetConfig) -> None:
        build_summary(self, config, config.num_labels)

    def classify(self, outputs: Any) -> Tensor:
        return self.logits_proj(self.sequence_summary(outputs.last_hidden_state))


class XLNetForMultipleChoice(WithMems, EncoderForMultipleChoice):
    """Scores each of several continuations."""

    body_class = XLNetModel
    output_class = XLNetForMultipleChoiceOutput
    shared_inputs = ("head_mask", "mems", "perm_mask", "target_mapping")

    def build_head(self, config: XLNetConfig) -> None:
        build_summary(self, config, 1)

    def classify(self, outputs: Any) -> Tensor:
        return self.logits_proj(self.sequence_summary(outputs.last_hidden_state))


class XLNetForTokenClassification(WithMems, EncoderForTokenClassification):
    """Classifies each token."""

    body_class = XLNetModel
    output_class = XLNetForTokenClassificationOutput

    def build_head(self, config: XLNetConfig) -> None:
        self.dropout = nn.Identity()  # the body's last step is dropout already
        self.classifier = nn.Linear(config.d_model, config.num_labels)


class XLNetForQuestionAnsweringSimple(WithMems, EncoderForQuestionAnswering):
    """Marks the span of an answer."""

    body_class = XLNetModel
    output_class = XLNetForQuestionAnsweringSimpleOutput


def hide(scores: Tensor, p_mask: Tensor | None) -> Tensor:
    """Scores of places that cannot be an answer (p_mask 1), pushed far down."""
    if p_mask is None:
        return scores
    far = 65500.0 if scores.dtype == torch.float16 else 1e30
    return scores * (1 - p_mask) - far * p_mask


def state_at(x_BTC: Tensor, index_B: Tensor) -> Tensor:
    """(B, C): the states at index_B."""
    return x_BTC[torch.arange(x_BTC.shape[0], device=x_BTC.device), index_B]


class StartLogits(nn.Module):
    """How likely an answer starts at each token."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.d_model, 1)

    def forward(self, x_BTC: Tensor, p_mask: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T)."""
        return hide(self.dense(x_BTC).squeeze(-1), p_mask)


class EndLogits(nn.Module):
    """How likely an answer ends at each token, if it starts where a state is from."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.dense_0 = nn.Linear(2 * config.d_model, config.d_model)
        self.LayerNorm = nn.LayerNorm(config.d_model, eps=config.layer_norm_eps)
        self.dense_1 = nn.Linear(config.d_model, 1)

    def forward(self, x: Tensor, starts: Tensor, p_mask: Tensor | None) -> Tensor:
        """(..., T, C) and starts of the same shape -> (..., T)."""
        inner = self.LayerNorm(torch.tanh(self.dense_0(torch.cat((x, starts), -1))))
        return hide(self.dense_1(inner).squeeze(-1), p_mask)


class AnswerClass(nn.Module):
    """Whether there is no answer, from a start's state and that of the classification token."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.dense_0 = nn.Linear(2 * config.d_model, config.d_model)
        self.dense_1 = nn.Linear(config.d_model, 1, bias=False)

    def forward(self, start_BC: Tensor, token_BC: Tensor) -> Tensor:
        """(B, C) each -> (B,)."""
        return self.dense_1(torch.tanh(self.dense_0(torch.cat((start_BC, token_BC), -1)))).squeeze(-1)


class XLNetForQuestionAnswering(EncoderWithHead, XLNetPreTrainedModel):
    """Searches the span of an answer with beams of starts and of ends for each, and says whether there is none."""

    body_class = XLNetModel
    own_inputs = ("start_positions", "end_positions", "is_impossible", "cls_index", "p_mask")

    def build_head(self, config: XLNetConfig) -> None:
        self.start_logits = StartLogits(config)
        self.end_logits = EndLogits(config)
        self.answer_class = AnswerClass(config)

    def answer(
        self,
        outputs: Any,
        start_positions: Tensor | None,
        end_positions: Tensor | None,
        is_impossible: Tensor | None,
        cls_index: Tensor | None,
        p_mask: Tensor | None,
    ) -> XLNetForQuestionAnsweringOutput:
        """start_positions, end_positions (B,): the right span; is_impossible (B,): 1 if there is none.

        cls_index (B,): the classification token, the last one if None. p_mask (B, T): 1 where no answer can be.
        """
        x_BTC = outputs.last_hidden_state
        token_BC = x_BTC[:, -1] if cls_index is None else state_at(x_BTC, cls_index.view(-1))
        start_BT = self.start_logits(x_BTC, p_mask)
        rest = {"mems": outputs.mems, "hidden_states": outputs.hidden_states, "attentions": outputs.attentions}
        if start_positions is None or end_positions is None:
            return XLNetForQuestionAnsweringOutput(**self.search(x_BTC, start_BT, token_BC, p_mask), **rest)
        start_positions, end_positions = start_positions.view(-1), end_positions.view(-1)
        start_BC = state_at(x_BTC, start_positions)
        end_BT = self.end_logits(x_BTC, start_BC[:, None].expand_as(x_BTC), p_mask)
        loss = question_answering_loss(start_BT, end_BT, start_positions, end_positions)
        if cls_index is not None and is_impossible is not None:
            none_B = self.answer_class(start_BC, token_BC)
            # half the weight: the loss of the span is a mean of two
            loss = loss + 0.5 * F.binary_cross_entropy_with_logits(none_B, is_impossible.view(-1).to(none_B.dtype))
        return XLNetForQuestionAnsweringOutput(loss=loss, **rest)

    def search(self, x_BTC: Tensor, start_BT: Tensor, token_BC: Tensor, p_mask: Tensor | None) -> dict[str, Tensor]:
        """The most likely starts, the most likely ends of each, and the score of no answer."""
        start_BT = start_BT.softmax(-1)
        start_top_BS, start_index_BS = start_BT.topk(self.config.start_n_top, dim=-1)
        picked_BSC = x_BTC.gather(1, start_index_BS[..., None].expand(-1, -1, x_BTC.shape[-1]))
        pairs_BTSC = picked_BSC[:, None].expand(-1, x_BTC.shape[1], -1, -1)
        hidden = None if p_mask is None else p_mask[..., None]
        end_BTS = self.end_logits(x_BTC[:, :, None].expand_as(pairs_BTSC), pairs_BTSC, hidden).softmax(1)
        end_top_BES, end_index_BES = end_BTS.topk(self.config.end_n_top, dim=1)
        expected_BC = torch.einsum("btc,bt->bc", x_BTC, start_BT)
        return {
            "start_top_log_probs": start_top_BS,
            "start_top_index": start_index_BS,
            "end_top_log_probs": end_top_BES.flatten(1),
            "end_top_index": end_index_BES.flatten(1),
            "cls_logits": self.answer_class(expected_BC, token_BC),
        }
