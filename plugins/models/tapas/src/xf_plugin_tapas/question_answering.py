"""TAPAS that answers questions about tables: it selects cells, and an operator over them (arXiv:2004.02349, section 3).

Shapes: B batch, T tokens, C width, N columns, G cells, A operators.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xf.interfaces.model import model_forward
from xf.outputs import ModelOutput

from . import losses
from .cells import EPSILON, LOG_ZERO, Cells
from .configuration import TapasConfig
from .modeling import TapasModel, TapasPreTrainedModel
from .tables import COLUMN, ROW


@dataclass(repr=False)
class TableQuestionAnsweringOutput(ModelOutput):
    """logits (B, T): of each token's cell being selected; logits_aggregation (B, A): of the operators."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    logits_aggregation: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class TapasForQuestionAnswering(TapasPreTrainedModel):
    """TAPAS with scores of tokens, of columns, and with config.num_aggregation_labels of operators."""

    def __init__(self, config: TapasConfig) -> None:
        super().__init__(config)
        self.tapas = TapasModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.output_weights = nn.Parameter(torch.empty(config.hidden_size))
        self.column_output_weights = nn.Parameter(torch.empty(config.hidden_size))
        self.output_bias = nn.Parameter(torch.zeros([]))
        self.column_output_bias = nn.Parameter(torch.zeros([]))
        if config.num_aggregation_labels > 0:
            self.aggregation_classifier = nn.Linear(config.hidden_size, config.num_aggregation_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            std = 0.0 if self.config.init_cell_selection_weights_to_zero else self.config.initializer_range
            for weights in (self.output_weights, self.column_output_weights):
                nn.init.normal_(weights, std=std)
            nn.init.zeros_(self.output_bias)
            nn.init.zeros_(self.column_output_bias)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        table_mask: Tensor | None = None,
        labels: Tensor | None = None,
        aggregation_labels: Tensor | None = None,
        float_answer: Tensor | None = None,
        numeric_values: Tensor | None = None,
        numeric_values_scale: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> TableQuestionAnsweringOutput:
        """As TapasModel, and for a loss:

        labels (B, T): 1 at the tokens of the answer's cells. aggregation_labels (B,): the operator, where it is known;
        with config.use_answer_as_supervision instead float_answer (B,), the answer's number or nan, numeric_values
        (B, T) and numeric_values_scale (B, T) as the tokenizer makes them. table_mask (B, T): 1 at tokens of cells,
        by default where a row is.

        Raises: ValueError where what the loss needs is missing.
        """
        outputs = self.tapas(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        states_BTC = self.dropout(outputs.last_hidden_state)
        if token_type_ids is None:
            shape = (*states_BTC.shape[:2], len(self.config.type_vocab_sizes))
            token_type_ids = torch.zeros(shape, dtype=torch.long, device=states_BTC.device)
        cells = self.cells(token_type_ids, attention_mask, states_BTC)
        logits_BT = (states_BTC @ self.output_weights + self.output_bias) / self.config.temperature
        column_BN = self.column_logits(states_BTC, cells) if self.config.select_one_column else None
        aggregation_BA = None
        if self.config.num_aggregation_labels > 0:
            aggregation_BA = self.aggregation_classifier(outputs.pooler_output)
        if labels is not None and self.config.average_logits_per_cell:
            logits_BT = cells.to_tokens(cells.mean(logits_BT))
        selected_BT = logits_BT if column_BN is None else self.of_one_column(logits_BT, column_BN, cells)
        loss = None
        if labels is not None:
            if table_mask is None:
                table_mask = token_type_ids[:, :, ROW] > 0
            given = (labels, aggregation_labels, float_answer, numeric_values, numeric_values_scale, table_mask)
            loss = self.loss(logits_BT, selected_BT, column_BN, aggregation_BA, cells, *given)
        return TableQuestionAnsweringOutput(
            loss=loss,
            logits=selected_BT,
            logits_aggregation=aggregation_BA,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def cells(self, types_BT7: Tensor, mask_BT: Tensor | None, like: Tensor) -> Cells:
        """The cell of each token; those beyond max_num_rows and max_num_columns count as the last."""
        rows, columns = self.config.max_num_rows, self.config.max_num_columns
        mask_BT = torch.ones_like(types_BT7[:, :, 0]) if mask_BT is None else mask_BT
        return Cells(
            types_BT7[:, :, ROW].clamp(max=rows - 1),
            types_BT7[:, :, COLUMN].clamp(max=columns - 1),
            rows,
            columns,
            mask_BT.to(like.dtype),
        )

    def column_logits(self, states_BTC: Tensor, cells: Cells) -> Tensor:
        """(B, N): the mean score of each column's cells; column 0 stands for no column."""
        token_BT = states_BTC @ self.column_output_weights + self.column_output_bias
        mask_BG = cells.mask_BG
        counts_BN = cells.column_sums(mask_BG)
        logits_BN = cells.column_sums(cells.mean(token_BT) * mask_BG) / (counts_BN + EPSILON)
        none_N = torch.arange(cells.columns, device=counts_BN.device) == 0
        logits_BN = logits_BN + LOG_ZERO * ((counts_BN < 0.5) & ~none_N)
        if not self.config.allow_empty_column_selection:
            logits_BN = logits_BN + LOG_ZERO * none_N
        return logits_BN

    def of_one_column(self, logits_BT: Tensor, column_logits_BN: Tensor, cells: Cells) -> Tensor:
        """(B, T): the mean score of each token's cell, and next to none outside of the best column."""
        columns_G = torch.arange(cells.count, device=logits_BT.device) % cells.columns
        in_best_BG = (columns_G == column_logits_BN.argmax(1, keepdim=True)) & (columns_G != 0)
        return cells.to_tokens(cells.mean(logits_BT) + LOG_ZERO * (1 - cells.mask_BG * in_best_BG))

    def loss(
        self,
        logits_BT: Tensor,
        selected_BT: Tensor,
        column_logits_BN: Tensor | None,
        aggregation_BA: Tensor | None,
        cells: Cells,
        labels_BT: Tensor,
        aggregation_labels: Tensor | None,
        float_answer: Tensor | None,
        numeric_values: Tensor | None,
        numeric_values_scale: Tensor | None,
        table_mask_BT: Tensor,
    ) -> Tensor:
        """The mean over examples of the losses of cells, operators and answers; see `losses`."""
        config = self.config
        by_answer = aggregation_BA is not None and bool(config.use_answer_as_supervision)
        mask_B = None
        if by_answer:
            if float_answer is None or numeric_values is None or numeric_values_scale is None:
                raise ValueError(
                    "config.use_answer_as_supervision needs float_answer, numeric_values and numeric_values_scale."
                )
            assert aggregation_BA is not None
            mask_B = losses.aggregate_mask(float_answer, aggregation_BA, labels_BT, config.cell_selection_preference)
        if column_logits_BN is None:
            selection_B = losses.token_selection_loss(logits_BT, labels_BT, cells.mask_BT, config.positive_label_weight)
        else:
            selection_B = losses.column_selection_loss(cells.mean(logits_BT), column_logits_BN, labels_BT, cells)
        total = logits_BT.new_zeros([])
        if not config.disable_per_token_loss:
            total = total + (selection_B if mask_B is None else selection_B * (1 - mask_B)).mean()
        if aggregation_BA is None:
            return total
        if mask_B is None:
            if aggregation_labels is None:
                raise ValueError("A model with operators needs aggregation_labels, or use_answer_as_supervision.")
            extra_B = losses.aggregation_loss(aggregation_BA, aggregation_labels) * config.aggregation_loss_weight
            return total + extra_B.mean()
        assert float_answer is not None and numeric_values is not None and numeric_values_scale is not None
        extra_B = losses.unknown_aggregation_loss(aggregation_BA, mask_B) * config.aggregation_loss_weight
        mask_BT = cells.mask_BT * table_mask_BT
        expected_B = losses.expected_answer(
            selected_BT, numeric_values, numeric_values_scale, mask_BT, aggregation_BA, config
        )
        answer_B, counted_B = losses.answer_loss(expected_B, float_answer, mask_B, config)
        return total + ((extra_B + answer_B) * counted_B).mean()
