"""The trainer's data: which columns the model reads, in which order rows come, and the loaders of batches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, Sampler, SequentialSampler

from xf import logging

from .distributed import rank, world_size

logger = logging.get_logger(__name__)


class SeededSampler(RandomSampler):
    """Random order that follows from the seed and the epoch alone, so that a run can be resumed anywhere."""

    def __init__(self, data: Sized, seed: int) -> None:
        super().__init__(data, generator=torch.Generator())
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(self.seed + self.epoch)
        yield from super().__iter__()


class LengthGroupedSampler(Sampler[int]):
    """Random order in which rows of similar length come together, the longest first of all to find out of memory early.

    Args:
        batch_size: rows that should be similar. lengths: of the rows. generator: torch's own where it is None.
    """

    GROUP = 50  # batches that are sorted together: little padding, and still a random order

    def __init__(self, batch_size: int, lengths: list[int], generator: torch.Generator | None = None) -> None:
        self.batch_size, self.lengths, self.generator = batch_size, lengths, generator

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        batches = min(len(self.lengths) // (self.batch_size * 4), self.GROUP) or 1
        size = batches * self.batch_size
        order = torch.randperm(len(self.lengths), generator=self.generator).tolist()
        groups = [order[i : i + size] for i in range(0, len(order), size)]
        groups = [sorted(group, key=lambda i: self.lengths[i], reverse=True) for group in groups]
        longest = max(range(len(groups)), key=lambda g: self.lengths[groups[g][0]])
        groups[0][0], groups[longest][0] = groups[longest][0], groups[0][0]
        return iter([i for group in groups for i in group])


class ShardedBatches(Sampler[list[int]]):
    """Of a sampler's batches every process takes its own; the last ones start again from the first rows to be whole."""

    def __init__(self, batches: BatchSampler) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return -(-len(self.batches) // world_size())

    def __iter__(self) -> Iterator[list[int]]:
        found = list(self.batches)
        if not found:
            return
        rows = [row for batch in found for row in batch]
        size = self.batches.batch_size
        needed = len(self) * world_size()
        at = 0
        while len(found) < needed or len(found[-1]) < size:
            if len(found[-1]) == size:
                found.append([])
            found[-1].append(rows[at % len(rows)])
            at += 1
        yield from found[rank() :: world_size()]


class RemoveColumns:
    """A collator that first drops what the model's forward does not take."""

    def __init__(self, collator: Callable[[list[Any]], Any], columns: set[str], model: str, description: str) -> None:
        self.collator, self.columns, self.model, self.description = collator, columns, model, description
        self._told = False

    def __call__(self, rows: list[Any]) -> Any:
        return self.collator([self._kept(row) for row in rows])

    def _kept(self, row: Any) -> Any:
        if not isinstance(row, Mapping):
            return row
        if not self._told:
            self._told = True
            report_dropped(sorted(set(row) - self.columns), self.model, self.description)
        return {name: value for name, value in row.items() if name in self.columns}


def report_dropped(columns: list[str], model: str, description: str) -> None:
    """Say which columns are not used: a column that was meant for the model is a mistake one wants to see."""
    if columns:
        logger.warning(
            f"Columns of the {description} set that {model}.forward does not take are left out: {', '.join(columns)}. "
            f"remove_unused_columns=False keeps them."
        )


def label_names(model: Any) -> list[str]:
    """The labels among the arguments of a model's forward."""
    parameters = list(inspect.signature(model.forward).parameters)
    if {"start_positions", "end_positions"} <= set(parameters):
        return ["start_positions", "end_positions"]
    return [name for name in parameters if "label" in name and name != "shift_labels"]


class TrainerData:
    """The part of `Trainer` that makes data loaders."""

    args: Any
    model: Any
    data_collator: Any
    train_dataset: Any
    eval_dataset: Any
    processing_class: Any
    label_names: list[str]
    _signature_columns: list[str] | None
    _eval_dataloaders: dict[str, DataLoader[Any]]

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            forward = getattr(self.model, "get_base_model", lambda: self.model)().forward
            names = list(inspect.signature(forward).parameters)
            self._signature_columns = [*names, "label", "label_ids", *self.label_names]

    def _prepared(self, dataset: Any, description: str) -> tuple[Any, Callable[[list[Any]], Any]]:
        """The data set and the collator, one of which leaves out what the model does not take."""
        if not self.args.remove_unused_columns:
            return dataset, self.data_collator
        self._set_signature_columns_if_needed()
        assert self._signature_columns is not None
        keep, name = set(self._signature_columns), type(self.model).__name__
        columns = getattr(dataset, "column_names", None)
        if columns is not None and hasattr(dataset, "remove_columns"):
            dropped = sorted(set(columns) - keep)
            report_dropped(dropped, name, description)
            if set(columns) <= set(dropped):
                raise ValueError(
                    f"No column of the {description} set is an argument of {name}.forward: it has "
                    f"{', '.join(columns)}; the model takes {', '.join(self._signature_columns)}."
                )
            return dataset.remove_columns(dropped), self.data_collator
        return dataset, RemoveColumns(self.data_collator, keep, name, description)

    def _loader(
        self, dataset: Any, description: str, batch_size: int, sampler: Any, drop_last: bool
    ) -> DataLoader[Any]:
        data, collator = self._prepared(dataset, description)
        workers = self.args.dataloader_num_workers
        options: dict[str, Any] = {
            "collate_fn": collator,
            "num_workers": workers,
            "pin_memory": self.args.dataloader_pin_memory and self.args.device.type == "cuda",
            "persistent_workers": self.args.dataloader_persistent_workers,
        }
        if workers:
            options["prefetch_factor"] = self.args.dataloader_prefetch_factor
        if isinstance(dataset, IterableDataset):
            return DataLoader(data, batch_size=batch_size, drop_last=drop_last, **options)
        batches = BatchSampler(sampler, batch_size, drop_last)
        return DataLoader(data, batch_sampler=ShardedBatches(batches) if world_size() > 1 else batches, **options)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The loader of training batches. ValueError where the trainer has no training set, or an empty one."""
        if self.train_dataset is None:
            raise ValueError("Trainer has no train_dataset: pass one to train.")
        if hasattr(self.train_dataset, "__len__") and len(self.train_dataset) == 0:
            raise ValueError("train_dataset is empty: there is nothing to train on.")
        size, drop_last = self._train_batch_size(), self.args.dataloader_drop_last
        sampler = self._get_train_sampler(self.train_dataset)
        return self._loader(self.train_dataset, "training", size, sampler, drop_last)

    def _train_batch_size(self) -> int:
        return int(self.args.train_batch_size)

    def _get_train_sampler(self, train_dataset: Any | None = None) -> Sampler[int] | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
            return None
        if self.args.group_by_length:
            batch_size = self.args.train_batch_size * self.args.gradient_accumulation_steps
            return LengthGroupedSampler(batch_size, self._lengths(dataset))
        seed = self.args.data_seed if self.args.data_seed is not None else self._initial_seed
        return SeededSampler(dataset, seed)

    _initial_seed: int

    def _lengths(self, dataset: Any) -> list[int]:
        name = self.args.length_column_name
        if name in (getattr(dataset, "column_names", None) or ()):
            return [int(length) for length in dataset[name]]
        inputs = getattr(self.processing_class, "model_input_names", ["input_ids"])[0]
        try:
            return [len(row[inputs]) for row in dataset]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"group_by_length needs the lengths of rows: a column {name!r}, or rows with {inputs!r}; "
                f"row 0 is {type(dataset[0]).__name__}."
            ) from error

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[int] | None:
        return SequentialSampler(eval_dataset) if hasattr(eval_dataset, "__len__") else None

    def get_eval_dataloader(self, eval_dataset: Any | None = None) -> DataLoader[Any]:
        """The loader of evaluation batches: of a data set, of one of several by its name, or of the trainer's."""
        if isinstance(eval_dataset, str):
            eval_dataset = self.eval_dataset[eval_dataset]
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if dataset is None:
            raise ValueError("Trainer has no eval_dataset: pass one to the trainer, or to evaluate().")
        return self._eval_loader(dataset, "evaluation")

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """The loader of batches to predict."""
        return self._eval_loader(test_dataset, "test")

    def _eval_loader(self, dataset: Any, description: str) -> DataLoader[Any]:
        kept = self._eval_dataloaders.get(description)
        if self.args.dataloader_persistent_workers and kept is not None and kept.dataset is dataset:
            return kept
        sampler, size = self._get_eval_sampler(dataset), self.args.eval_batch_size
        loader = self._loader(dataset, description, size, sampler, self.args.dataloader_drop_last)
        self._eval_dataloaders[description] = loader
        return loader

    def num_examples(self, dataloader: DataLoader[Any]) -> int:
        """Rows of a loader's data set; batches times the batch size where the set does not say."""
        try:
            return len(dataloader.dataset)  # type: ignore[arg-type]
        except (TypeError, AttributeError):
            return len(dataloader) * self.args.per_device_train_batch_size

    @staticmethod
    def num_tokens(train_dl: DataLoader[Any], max_steps: int | None = None) -> int:
        """Tokens of a loader's batches, those of the first batch times `max_steps` where it is given."""
        total = 0
        for batch in train_dl:
            tokens = int(batch["input_ids"].numel())
            if max_steps is not None:
                return tokens * max_steps
            total += tokens
        return total
