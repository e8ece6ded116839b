"""The task table-question-answering: cells of a table that answer a question, or an answer that is written.

Source: spec main_classes/pipelines.md. TAPAS (arXiv:2004.02349) selects cells and an operator over them; models in the
manner of TAPEX (arXiv:2107.07653) read the table as text and write.

Shapes: B questions, T tokens, A operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import GeneratorType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from xf import logging
from xf_pipelines.formats import ArgumentHandler
from xf_pipelines.generation import generation_arguments
from xf_pipelines.pipeline import Pipeline
from xf_tokenizers.tables import Table, read_table

logger = logging.get_logger(__name__)

SEGMENT, COLUMN, ROW, PREVIOUS_LABEL = 0, 1, 2, 3  # of TAPAS's seven type ids, those that tell which cell a token is of


class TableQuestionAnsweringArgumentHandler(ArgumentHandler):
    """{"table", "query"} from the arguments of a call; a dataset or a generator is handed on as it is."""

    def __call__(self, table: Any = None, query: Any = None, **kwargs: Any) -> Any:
        """A list of {"table", "query"}, a dataset or a generator.

        Raises: ValueError for arguments that make none.
        """
        if table is None:
            raise ValueError("Keyword argument `table` cannot be None: pass a table and a question.")
        if query is not None:
            return [{"table": table, "query": query}]
        if isinstance(table, (Dataset, GeneratorType)) or type(table).__module__.startswith("datasets."):
            return table
        inputs = [table] if isinstance(table, Mapping) else table
        if not isinstance(inputs, list) or not inputs:
            raise ValueError(
                f"Without a query the input is a dictionary with table and query, or a list, not {table!r:.80}."
            )
        for i, item in enumerate(inputs):
            missing = [k for k in ("table", "query") if not isinstance(item, Mapping) or item.get(k) is None]
            if missing:
                raise ValueError(
                    f"Input {i} has no {' and no '.join(missing)}: an input is {{'table': ..., 'query': ...}}."
                )
        return inputs


class TableQuestionAnsweringPipeline(Pipeline):
    """Answer questions about tables.

    Inputs: a table and a question or a list of questions, or {"table": ..., "query": ...}, or a list of these. The
    result of a question is {"answer": str, "coordinates": [(row, column)], "cells": [str]}, with "aggregator" where
    the model has operators; of a model that writes {"answer": str}. Several questions have a list of results.
    """

    task = "table-question-answering"
    auto_model_heads = ("table_question_answering", "seq2seq_lm")
    loads = ("tokenizer",)
    default_model: ClassVar[str] = "google/tapas-base-finetuned-wtq@e3dde19"
    default_family = "tapas"
    padding_side = "right"  # on the left it would move the positions of shorter texts
    calls_generate = True
    generation_defaults: ClassVar[Mapping[str, Any]] = {"max_new_tokens": 256}

    def __init__(self, *args: Any, args_parser: ArgumentHandler | None = None, **kwargs: Any) -> None:
        self._args_parser = args_parser or TableQuestionAnsweringArgumentHandler()
        super().__init__(*args, **kwargs)
        config = self.model.config
        self.selects_cells = hasattr(config, "aggregation_labels")
        self.aggregate = bool(getattr(config, "aggregation_labels", None) and config.num_aggregation_labels)

    def _sanitize_parameters(
        self,
        sequential: bool | None = None,
        padding: bool | str | None = None,
        truncation: bool | str | None = None,
        **generate_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Sort the parameters of a call.

        Args:
            sequential: ask the questions about a table one after the other, each told the answer before.
            padding: of the questions about one table (default True).
            truncation: by default "drop_rows_to_fit" where cells are selected, else "do_not_truncate".
            generate_kwargs: arguments of `generate`, where the model writes.
        """
        before = {"padding": padding, "truncation": truncation}
        before = {name: value for name, value in before.items() if value is not None}
        if generate_kwargs and hasattr(self.model.config, "aggregation_labels"):
            logger.warning(f"{', '.join(generate_kwargs)} has no effect: {type(self.model).__name__} selects cells.")
            generate_kwargs = {}
        return before, ({} if sequential is None else {"sequential": sequential}) | generate_kwargs, {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer; see the class for inputs and results.

        Raises: ValueError or TypeError for a table that is none, an empty or a ragged one, or without a question.
        """
        given = {name: kwargs.pop(name) for name in ("table", "query") if name in kwargs}
        results = super().__call__(self._args_parser(*args, **given), **kwargs)
        return results[0] if isinstance(results, list) and len(results) == 1 else results

    def preprocess(  # type: ignore[override]
        self, input_: Any, padding: bool | str = True, truncation: bool | str | None = None
    ) -> dict[str, Any]:
        if not isinstance(input_, Mapping) or not {"table", "query"} <= set(input_):
            raise ValueError(f"An input is {{'table': ..., 'query': ...}}, not {input_!r:.80}.")
        table, query = read_table(input_["table"]), input_["query"]
        if not table.columns or not len(table):
            raise ValueError(f"table is empty: it has {len(table.columns)} columns and {len(table)} rows.")
        if not query:
            raise ValueError("query is empty: ask a question.")
        if truncation is None:
            truncation = "drop_rows_to_fit" if self.selects_cells else "do_not_truncate"
        queries = [query] if isinstance(query, str) else query
        inputs = self.tokenizer(table, queries, return_tensors="pt", truncation=truncation, padding=padding)
        return {**inputs, "table": table}

    def _forward(self, input_tensors: Any, sequential: bool = False, **generate_kwargs: Any) -> Any:
        inputs = {name: value for name, value in input_tensors.items() if isinstance(value, Tensor)}
        kept = {"table": input_tensors["table"]}
        if not self.selects_cells:
            found = self.model.generate(**inputs, **generation_arguments(self, generate_kwargs))
            return {**kept, "sequences": getattr(found, "sequences", found)}
        if sequential:
            found = self._in_sequence(inputs, input_tensors["table"])
        else:
            outputs = self.model(**inputs)
            found = {name: outputs[name] for name in ("logits", "logits_aggregation") if outputs.get(name) is not None}
        return {**kept, **found, "token_type_ids": inputs["token_type_ids"], "attention_mask": inputs["attention_mask"]}

    def _in_sequence(self, inputs: dict[str, Tensor], tables: Any) -> dict[str, Tensor]:
        """One question after the other; questions about another table begin anew."""
        if isinstance(tables, list) and len(tables) != len(inputs["input_ids"]):
            raise ValueError(
                "sequential=True asks the questions of one table at a time: leave batch_size at 1, or pass tables with "
                "one question each."
            )
        new_table = isinstance(tables, list)
        rows: list[Any] = []
        selected_R: Tensor | None = None
        for i in range(len(inputs["input_ids"])):
            row = {name: value[i : i + 1].clone() for name, value in inputs.items()}
            types_T7, mask_T = row["token_type_ids"][0], row["attention_mask"][0]
            cell_T, is_cell_T = _cells(types_T7)
            if selected_R is not None and not new_table:
                types_T7[:, PREVIOUS_LABEL] = (selected_R[cell_T] & is_cell_T).to(types_T7.dtype)
            outputs = self.model(**row)
            rows.append(outputs)
            selected_R = _selected(outputs["logits"][0].sigmoid() * mask_T, cell_T, is_cell_T)
        names = ("logits", "logits_aggregation")
        return {name: torch.cat([row[name] for row in rows]) for name in names if rows[0].get(name) is not None}

    def postprocess(self, model_outputs: Any) -> Any:  # type: ignore[override]
        table: Table = model_outputs["table"]
        if not self.selects_cells:
            texts = self.tokenizer.batch_decode(model_outputs["sequences"], skip_special_tokens=True)
            answers: list[dict[str, Any]] = [{"answer": text} for text in texts]
            return answers if len(answers) > 1 else answers[0]
        logits, operators = model_outputs["logits"].float(), None
        if self.aggregate:
            operators = model_outputs["logits_aggregation"]
        found = self.tokenizer.convert_logits_to_predictions(model_outputs, logits, operators)
        answers = []
        for i, coordinates in enumerate(found[0]):
            cells = [table.values[row][column] for row, column in coordinates]
            answer = {"answer": ", ".join(cells), "coordinates": coordinates, "cells": cells}
            if self.aggregate:
                answer["aggregator"] = self.model.config.aggregation_labels[found[1][i]]
                if found[1][i] != self.model.config.no_aggregation_label_index:
                    answer["answer"] = f"{answer['aggregator']} > {answer['answer']}"
            answers.append(answer)
        return answers if len(answers) > 1 else answers[0]


def _cells(types_T7: Tensor) -> tuple[Tensor, Tensor]:
    """A number for the cell of each token, and whether it is of a cell at all; the header is none."""
    columns, rows = types_T7[:, COLUMN], types_T7[:, ROW]
    is_cell_T = (types_T7[:, SEGMENT] == 1) & (columns > 0) & (rows > 0)
    return rows * (int(columns.max()) + 1) + columns, is_cell_T


def _selected(probabilities_T: Tensor, cell_T: Tensor, is_cell_T: Tensor) -> Tensor:
    """Whether the mean probability of each cell, by its number, is above a half."""
    count = int(cell_T.max()) + 1
    sums = probabilities_T.new_zeros(count).scatter_add(0, cell_T, probabilities_T * is_cell_T)
    sizes = probabilities_T.new_zeros(count).scatter_add(0, cell_T, is_cell_T.to(probabilities_T.dtype))
    return sums / sizes.clamp(min=1) > 0.5
