"""TapasConfig (arXiv:2004.02349)."""

from __future__ import annotations

from typing import Any

from xf.interfaces.config import PretrainedConfig


class TapasConfig(PretrainedConfig):
    """The defaults are those of TAPAS base without aggregation.

    Args:
        type_vocab_sizes: of the seven type ids: segment, column, row, previous label, rank, inverse rank, relation.
        reset_position_index_per_cell: positions count from 0 in every cell.
        select_one_column: an answer's cells are of one column; allow_empty_column_selection: or of none.
        num_aggregation_labels: operators over the selected cells, 0 for none; aggregation_labels: their names.
        no_aggregation_label_index: the operator that returns the cells themselves.
        use_answer_as_supervision: train on the answer's number (float_answer) rather than on its operator.
        temperature, aggregation_temperature: of the scores of tokens and of operators.
        use_gumbel_for_cells, use_gumbel_for_aggregation: sample cells and operators instead of weighting them.
        average_approximation_function: "ratio", "first_order" or "second_order", of an average over weighted cells.
        cell_selection_preference: the share of aggregating operators up to which an answer is a selection of cells.
        answer_loss_cutoff: examples whose answer loss is greater do not count.
        positive_label_weight, aggregation_loss_weight, answer_loss_importance, huber_loss_delta,
        use_normalized_answer_loss, average_logits_per_cell, disable_per_token_loss: of the losses.
        init_cell_selection_weights_to_zero: begin with even scores of tokens and columns.
        max_num_rows, max_num_columns: cells beyond count as the last.
    """

    model_type = "tapas"

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 1024
    type_vocab_sizes: list[int] = [3, 256, 256, 2, 256, 256, 10]
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    positive_label_weight: float = 10.0
    num_aggregation_labels: int = 0
    aggregation_loss_weight: float = 1.0
    use_answer_as_supervision: bool | None = None
    answer_loss_importance: float = 1.0
    use_normalized_answer_loss: bool = False
    huber_loss_delta: float | None = None
    temperature: float = 1.0
    aggregation_temperature: float = 1.0
    use_gumbel_for_cells: bool = False
    use_gumbel_for_aggregation: bool = False
    average_approximation_function: str = "ratio"
    cell_selection_preference: float | None = None
    answer_loss_cutoff: float | None = None
    max_num_rows: int = 64
    max_num_columns: int = 32
    average_logits_per_cell: bool = False
    select_one_column: bool = True
    allow_empty_column_selection: bool = False
    init_cell_selection_weights_to_zero: bool = False
    reset_position_index_per_cell: bool = True
    disable_per_token_loss: bool = False
    aggregation_labels: dict[int, str] | None = None
    no_aggregation_label_index: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.aggregation_labels, dict):  # the keys of JSON are text
            labels: dict[Any, str] = self.aggregation_labels
            self.aggregation_labels = {int(index): name for index, name in labels.items()}
