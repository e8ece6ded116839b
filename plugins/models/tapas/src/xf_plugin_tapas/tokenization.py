"""TAPAS's tokenizer (arXiv:2004.02349, section 2): a question and a table as one sequence.

Shapes: B questions, T tokens; each token has seven type ids (segment, column, row, previous label, rank, inverse rank,
relation to the question's numbers).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from xf import logging
from xf.utils.enums import ExplicitEnum, PaddingStrategy
from xf_tokenizers.batch_encoding import BatchEncoding
from xf_tokenizers.slow import PreTrainedTokenizer
from xf_tokenizers.tables import read_table
from xf_tokenizers.wordpiece import read_vocab, write_vocab
from xf_tokenizers.wordpiece_python import BasicTokenizer, WordpieceTokenizer

from .tables import Coordinates, TokenizedTable, cell_probabilities, sigmoid

logger = logging.get_logger(__name__)

LIMITLESS = int(1e12)
_WITHOUT_CONTENT = ("n/a", "?", "nan")


class TapasTruncationStrategy(ExplicitEnum):
    """Values of the `truncation` argument: rows at the end of the table are dropped, or nothing."""

    DROP_ROWS_TO_FIT = "drop_rows_to_fit"
    DO_NOT_TRUNCATE = "do_not_truncate"


class TapasTokenizer(PreTrainedTokenizer):
    """WordPiece for questions about tables: [CLS] question [SEP] header, then the rows cell by cell.

    Args:
        vocab_file: vocab.txt, one token a line.
        do_lower_case, do_basic_tokenize, never_split, tokenize_chinese_chars, strip_accents: see `BasicTokenizer`.
        empty_token: stands for a text without a letter or digit.
        cell_trim_length: where rows are dropped to fit, cells have at most so many tokens (-1: any number).
        max_column_id, max_row_id: a table must have fewer columns and rows (model_max_length by default).
        strip_column_names: leave the header out.
        update_answer_coordinates: find answers by answer_text rather than by answer_coordinates.
        min_question_length, max_question_length: questions of fewer or more tokens are left out, with a warning.

    Raises: ValueError for a vocabulary that is not there or is none.
    """

    vocab_files_names = {"vocab_file": "vocab.txt"}

    def __init__(
        self,
        vocab_file: str,
        do_lower_case: bool = True,
        do_basic_tokenize: bool = True,
        never_split: Iterable[str] | None = None,
        unk_token: str = "[UNK]",
        sep_token: str = "[SEP]",
        pad_token: str = "[PAD]",
        cls_token: str = "[CLS]",
        mask_token: str = "[MASK]",
        empty_token: str = "[EMPTY]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        cell_trim_length: int = -1,
        max_column_id: int | None = None,
        max_row_id: int | None = None,
        strip_column_names: bool = False,
        update_answer_coordinates: bool = False,
        min_question_length: int | None = None,
        max_question_length: int | None = None,
        model_max_length: int = 512,
        additional_special_tokens: list[str] | None = None,
        clean_up_tokenization_spaces: bool = True,
        **kwargs: Any,
    ) -> None:
        if not vocab_file or not Path(vocab_file).is_file():
            raise ValueError(f"{type(self).__name__} needs vocab.txt; there is no file {vocab_file!r}.")
        additional = list(additional_special_tokens or [])
        if empty_token not in additional:
            additional.append(empty_token)
        self.vocab = read_vocab(vocab_file)
        self.ids_to_tokens = {index: token for token, index in self.vocab.items()}
        self.do_basic_tokenize = do_basic_tokenize
        if do_basic_tokenize:
            self.basic_tokenizer = BasicTokenizer(do_lower_case, never_split, tokenize_chinese_chars, strip_accents)
        self.wordpiece_tokenizer = WordpieceTokenizer(self.vocab, unk_token=str(unk_token))
        limit = model_max_length if model_max_length > 0 else LIMITLESS
        self.cell_trim_length = cell_trim_length
        self.max_column_id = limit if max_column_id is None else max_column_id
        self.max_row_id = limit if max_row_id is None else max_row_id
        self.strip_column_names = strip_column_names
        self.update_answer_coordinates = update_answer_coordinates
        self.min_question_length, self.max_question_length = min_question_length, max_question_length
        super().__init__(
            do_lower_case=do_lower_case,
            do_basic_tokenize=do_basic_tokenize,
            never_split=never_split,
            unk_token=unk_token,
            sep_token=sep_token,
            pad_token=pad_token,
            cls_token=cls_token,
            mask_token=mask_token,
            empty_token=empty_token,
            tokenize_chinese_chars=tokenize_chinese_chars,
            strip_accents=strip_accents,
            cell_trim_length=cell_trim_length,
            max_column_id=self.max_column_id,
            max_row_id=self.max_row_id,
            strip_column_names=strip_column_names,
            update_answer_coordinates=update_answer_coordinates,
            min_question_length=min_question_length,
            max_question_length=max_question_length,
            model_max_length=model_max_length,
            additional_special_tokens=additional,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            **kwargs,
        )

    # --- texts

    @property
    def do_lower_case(self) -> bool:
        """Whether texts are turned into lower case."""
        return self.do_basic_tokenize and self.basic_tokenizer.do_lower_case

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    def get_vocab(self) -> dict[str, int]:
        return {**self.vocab, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        if _is_empty(text):
            return [self.additional_special_tokens[0]]
        if not self.do_basic_tokenize:
            return self.wordpiece_tokenizer.tokenize(text)
        pieces: list[str] = []
        for word in self.basic_tokenizer.tokenize(text, never_split=self.all_special_tokens):
            whole = word in self.basic_tokenizer.never_split
            pieces += [word] if whole else self.wordpiece_tokenizer.tokenize(word)
        return pieces

    def _convert_token_to_id(self, token: str) -> int | None:
        return self.vocab.get(token, self.vocab.get(str(self.unk_token)))

    def _convert_id_to_token(self, index: int) -> str | None:
        return self.ids_to_tokens.get(index, self.unk_token)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return " ".join(tokens).replace(" ##", "").strip()

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """[CLS] question [SEP] table; the table is no pair that could be left out."""
        if token_ids_1 is None:
            raise ValueError("With TAPAS, you must provide both question IDs and table IDs.")
        return [self.cls_token_id, *token_ids_0, self.sep_token_id, *token_ids_1]

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 at [CLS] and [SEP], 0 at others."""
        if already_has_special_tokens:
            return super().get_special_tokens_mask(token_ids_0, token_ids_1, True)
        return [1, *[0] * len(token_ids_0), 1, *[0] * len(token_ids_1 or [])]

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.txt; returns its path."""
        path = Path(save_directory) / (f"{filename_prefix}-" * bool(filename_prefix) + "vocab.txt")
        write_vocab(path, self.vocab)
        return (str(path),)

    # --- tables

    def __call__(  # type: ignore[override]
        self,
        table: Any,
        queries: str | list[str] | None = None,
        answer_coordinates: Sequence[Any] | None = None,
        answer_text: Sequence[Any] | None = None,
        **options: Any,
    ) -> BatchEncoding:
        """Encode one question about a table, or several.

        Args:
            table: {"column": [cells]}, a list of {"column": cell}, or a DataFrame.
            queries: a question, or a list of them.
            answer_coordinates: the cells of the answer as (row, column), or a list of them for each question; a
                question after the first is told the answer of the one before (`previous labels`).
            answer_text: the texts of those cells.
            options: add_special_tokens, padding, truncation (True or "drop_rows_to_fit"), max_length,
                pad_to_multiple_of, padding_side, return_tensors, return_token_type_ids, return_attention_mask,
                return_special_tokens_mask, return_length, verbose: as for every tokenizer.

        Returns: input_ids (T), token_type_ids (T, 7), attention_mask (T), or with B in front; with answers also
            labels, numeric_values (nan where a cell has no number), numeric_values_scale (tokens of the cell).
        Raises: TypeError or ValueError for what is no table, a ragged one, one that is too large, questions that are
            none, or answers that are not in the table.
        """
        if isinstance(queries, (list, tuple)) and all(isinstance(query, str) for query in queries):
            return self.batch_encode_plus(table, list(queries), answer_coordinates, answer_text, **options)
        return self.encode_plus(table, queries, answer_coordinates, answer_text, **options)

    def encode_plus(  # type: ignore[override]
        self,
        table: Any,
        query: Any = None,
        answer_coordinates: Sequence[Coordinates] | None = None,
        answer_text: Sequence[str] | None = None,
        **options: Any,
    ) -> BatchEncoding:
        """Encode one question; see `__call__`."""
        if query is not None and not isinstance(query, str):
            raise ValueError(f"A question is a text and several are a list of texts, not {query!r:.80}.")
        if not query:
            logger.warning("TAPAS answers questions, and there is none: its answer will mean little.")
        finish, each = _divided(options)
        if finish["padding"] is True:  # one question has no longer one to be padded to
            to_length = options.get("max_length") is not None or finish.get("pad_to_multiple_of") is not None
            finish |= (
                {"padding": "max_length", "max_length": options.get("max_length")} if to_length else {"padding": False}
            )
        item = self._items(table, [query or ""], _one(answer_coordinates), _one(answer_text), each)[0]
        tensors = finish.pop("return_tensors", None)
        padded = self.pad(item, **finish)
        return BatchEncoding(dict(padded), tensor_type=tensors, prepend_batch_axis=tensors is not None)

    def batch_encode_plus(  # type: ignore[override]
        self,
        table: Any,
        queries: list[str] | None = None,
        answer_coordinates: Sequence[Sequence[Coordinates]] | None = None,
        answer_text: Sequence[Sequence[str]] | None = None,
        **options: Any,
    ) -> BatchEncoding:
        """Encode several questions about one table; see `__call__`."""
        if not queries:
            raise ValueError("There is no question: queries is an empty list.")
        finish, each = _divided(options)
        items = self._items(table, queries, answer_coordinates, answer_text, each)
        return self.pad(items, **finish)

    def encode(self, table: Any, query: str | None = None, **options: Any) -> list[int]:  # type: ignore[override]
        """The ids alone."""
        ids: list[int] = self.encode_plus(table, query, **options)["input_ids"]
        return ids

    def _items(
        self, table: Any, queries: list[str], coordinates: Any, texts: Any, options: dict[str, Any]
    ) -> list[dict[str, Any]]:
        if (coordinates is None) != (texts is None):
            raise ValueError("Answers need both answer_coordinates and answer_text.")
        for name, answers in (("answer_coordinates", coordinates), ("answer_text", texts)):
            if answers is not None and len(answers) != len(queries):
                raise ValueError(f"{name} has {len(answers)} answers for {len(queries)} questions.")
        tokenized = TokenizedTable(read_table(table), self.tokenize, with_header=not self.strip_column_names)
        return [
            self._item(
                tokenized,
                query,
                None if coordinates is None else (coordinates[i], texts[i]),
                None if coordinates is None or i == 0 else (coordinates[i - 1], texts[i - 1]),
                **options,
            )
            for i, query in enumerate(queries)
        ]

    def _item(
        self,
        table: TokenizedTable,
        query: str,
        answer: tuple[Any, Any] | None,
        previous: tuple[Any, Any] | None,
        add_special_tokens: bool = True,
        truncation: bool | str | TapasTruncationStrategy | None = None,
        max_length: int | None = None,
        return_token_type_ids: bool = True,
        return_attention_mask: bool = True,
        return_special_tokens_mask: bool = False,
        return_length: bool = False,
        verbose: bool = True,
    ) -> dict[str, Any]:
        """The model inputs of one question, not padded."""
        query, question = self._question(query)
        pieces = table.pieces(*self._extent(table, len(question) + 2, truncation, max_length))
        labels_of = self._find if self.update_answer_coordinates else self._locate
        before = [0] * len(pieces) if previous is None else labels_of(table, pieces, previous)
        first = len(question) + 2
        ids = self.convert_tokens_to_ids(question), self.convert_tokens_to_ids([piece.token for piece in pieces])
        item: dict[str, Any] = {"input_ids": self.build_inputs_with_special_tokens(*ids)}
        types = [[0] * 7 for _ in range(first)] + table.token_types(query, pieces, before)
        if answer is not None:
            numbers, counts = table.numbers(pieces)
            item["labels"] = [0] * first + labels_of(table, pieces, answer)
            item["numeric_values"] = [math.nan] * first + numbers
            item["numeric_values_scale"] = [1.0] * first + counts
        if return_token_type_ids:
            item["token_type_ids"] = types
        if return_attention_mask:
            item["attention_mask"] = [1] * len(types)
        if return_special_tokens_mask:
            item["special_tokens_mask"] = self.get_special_tokens_mask(*ids)
        if not add_special_tokens:  # at 0 and before the table
            item = {name: [*row[1 : first - 1], *row[first:]] for name, row in item.items()}
        self._eventual_warn_about_too_long_sequence(item["input_ids"], max_length, verbose)
        if return_length:
            item["length"] = len(item["input_ids"])
        return item

    def _question(self, query: str) -> tuple[str, list[str]]:
        """The question and its tokens; nothing where it is shorter or longer than wanted."""
        tokens = self.tokenize(query)
        for limit, wrong, word in (
            (self.max_question_length, len(tokens) > (self.max_question_length or LIMITLESS), "more"),
            (self.min_question_length, len(tokens) < (self.min_question_length or 0), "fewer"),
        ):
            if limit is not None and wrong:
                logger.warning(f"A question of {len(tokens)} tokens is left out: it has {word} than {limit}.")
                return "", []
        return query, tokens

    def _extent(
        self, table: TokenizedTable, question: int, truncation: Any, max_length: int | None
    ) -> tuple[int, int | None]:
        """How many rows and how much of each cell is encoded beside `question` tokens; see `TokenizedTable.fit`.

        Raises: ValueError where they do not fit.
        """
        strategy = TapasTruncationStrategy.DO_NOT_TRUNCATE
        if truncation is True:
            strategy = TapasTruncationStrategy.DROP_ROWS_TO_FIT
        elif truncation not in (None, False):
            strategy = TapasTruncationStrategy(truncation)
        drops = strategy is TapasTruncationStrategy.DROP_ROWS_TO_FIT
        rows, columns = len(table.table), len(table.table.columns)
        if columns >= self.max_column_id:
            raise ValueError(f"Too many columns: {columns}; there can be {self.max_column_id - 1} (max_column_id).")
        if rows >= self.max_row_id:
            if not drops:
                raise ValueError(
                    f"Too many rows: {rows}; there can be {self.max_row_id - 1} (max_row_id). truncation=True drops "
                    "those at the end."
                )
            rows = self.max_row_id - 1
        if max_length is None:
            max_length = self.model_max_length if drops else LIMITLESS
        if drops:
            fitting = table.fit(rows, max_length - question, self.cell_trim_length)
            if fitting is not None:
                return fitting
        needed = question + sum(table.row_length(row) for row in range(1 if drops else rows + 1))
        if drops or needed > max_length:
            raise ValueError(
                f"Could not encode the question and the table{' header' * drops}: they have {needed} tokens, more "
                f"than max_length={max_length}." + ("" if drops else " truncation=True drops rows to fit.")
            )
        return rows, None

    @staticmethod
    def _locate(table: TokenizedTable, pieces: Any, answer: tuple[Any, Any]) -> list[int]:
        return table.labels(pieces, answer[0])

    def _find(self, table: TokenizedTable, pieces: Any, answer: tuple[Any, Any]) -> list[int]:
        return table.find(pieces, [self.tokenize(text) for text in answer[1]])

    def _pad(
        self,
        encoded_inputs: Any,
        max_length: int | None = None,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
    ) -> dict[str, Any]:
        own = {"token_type_ids": [0] * 7, "labels": 0, "numeric_values": math.nan, "numeric_values_scale": 1.0}
        kept = {name: encoded_inputs[name] for name in own if name in encoded_inputs}
        before = len(encoded_inputs["input_ids"])
        others = {name: row for name, row in encoded_inputs.items() if name not in own}
        padded = super()._pad(
            others, max_length, padding_strategy, pad_to_multiple_of, padding_side, return_attention_mask
        )
        missing = len(padded["input_ids"]) - before
        left = (padding_side or self.padding_side) == "left"
        for name, row in kept.items():
            filling = [own[name]] * missing
            padded[name] = filling + list(row) if left else list(row) + filling
        return {name: padded[name] for name in dict.fromkeys([*encoded_inputs, *padded])}

    # --- answers

    def convert_logits_to_predictions(
        self, data: Any, logits: Any, logits_agg: Any = None, cell_classification_threshold: float = 0.5
    ) -> tuple[Any, ...]:
        """The cells that a model selects for each question, as (row, column), and the indices of its aggregations.

        Args:
            data: what the tokenizer returned, with B questions; lists, arrays or tensors.
            logits: (B, T) of the tokens.
            logits_agg: (B, aggregations), where the model aggregates.
            cell_classification_threshold: cells with a greater mean probability are selected.
        """
        predictions = []
        for logits_T, types_T7, mask_T in zip(logits, data["token_type_ids"], data["attention_mask"], strict=True):
            probabilities = [sigmoid(x) * int(kept) for x, kept in zip(logits_T, mask_T, strict=True)]
            cells = cell_probabilities(probabilities, types_T7)
            predictions.append(sorted(cell for cell, p in cells.items() if p > cell_classification_threshold))
        if logits_agg is None:
            return (predictions,)
        return predictions, [int(row.argmax()) for row in logits_agg]


def _is_empty(text: str) -> bool:
    """Whether a text has neither letter nor digit, or stands for nothing."""
    return text.lower().strip() in _WITHOUT_CONTENT or not re.search(r"[^\W_]", text)


def _one(answer: Any) -> Any:
    return None if answer is None else [answer]


def _divided(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of `pad`, and of each item. Raises for those that have no meaning for tables."""
    if options.pop("return_offsets_mapping", False):
        raise NotImplementedError("return_offsets_mapping needs a fast tokenizer; TAPAS has none.")
    options.pop("return_overflowing_tokens", None)  # rows that are dropped are no tokens that another window could take
    names = ("padding", "pad_to_multiple_of", "padding_side", "return_tensors")
    finish = {name: options[name] for name in names if name in options}
    finish.setdefault("padding", False)
    each = {name: value for name, value in options.items() if name not in names and value is not None}
    finish["return_attention_mask"] = options.get("return_attention_mask")
    if finish["padding"] in (PaddingStrategy.MAX_LENGTH, PaddingStrategy.MAX_LENGTH.value):
        finish["max_length"] = options.get("max_length")
    unknown = set(each) - _EACH
    if unknown:
        raise TypeError(f"TapasTokenizer does not know the arguments {sorted(unknown)}.")
    return finish, each


_EACH = {
    "add_special_tokens", "truncation", "max_length", "return_token_type_ids", "return_attention_mask",
    "return_special_tokens_mask", "return_length", "verbose",
}  # fmt: skip
