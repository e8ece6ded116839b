"""save_pretrained of a model: config, companions and weights, all new or all old (see `xf.checkpoint.atomic`)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xf import logging
from xf.checkpoint.atomic import Saving, plain_name, saving_directory, write_atomic, write_json_atomic
from xf.checkpoint.plan import levels
from xf.checkpoint.read import BIN_NAME, SAFE_NAME
from xf.checkpoint.rules import conversions, numbered, rename
from xf.hub import pushing

__all__ = ["save_pretrained", "saving_directory", "write_atomic", "write_json_atomic"]

logger = logging.get_logger(__name__)

_WEIGHT_FILE = re.compile(
    r"(model|pytorch_model)(\.[^.]+)?(-\d{5}-of-\d{5})?\.(safetensors|bin)(\.index(\.[^.]+)?\.json)?"
)


def save_pretrained(
    model: Any,
    directory: str | os.PathLike[str],
    is_main_process: bool = True,
    state_dict: Mapping[str, Tensor] | None = None,
    save_function: Callable[..., Any] = torch.save,
    push_to_hub: bool = False,
    max_shard_size: int | str = "5GB",
    safe_serialization: bool = True,
    variant: str | None = None,
    token: str | bool | None = None,
    save_peft_format: bool = True,
    **kwargs: Any,
) -> None:
    """Write config.json, companions (a generation config) and weights into the folder `directory`.

    max_shard_size: more than that (bytes, or "5GB") goes into several files and an index. safe_serialization=False
    writes .bin files with `save_function(tensors, path)`. variant="fp16" writes model.fp16.safetensors. state_dict:
    what to write in place of the model's own. is_main_process=False writes nothing: one process saves. push_to_hub=True
    uploads what was written (repo_id=..., commit_message=..., see `push_to_hub`).

    Names are those of the family's published files; of tied tensors one is written. Files of an older save that the new
    one makes stale are removed once the new one is in place, no others. A kill at any moment leaves old or new whole.
    Raises: ValueError if `directory` is a file, or the weights cannot be saved (a quantizer that cannot).
    """
    folder = Path(directory)
    if folder.is_file():
        raise ValueError(f"save_pretrained needs a folder; {folder} is a file")
    if variant is not None and not plain_name(variant):
        raise ValueError(f"variant={variant!r} cannot be a part of a file name")
    if not is_main_process:
        return
    if token is not None:
        kwargs["token"] = token
    with pushing(folder, push_to_hub, kwargs):
        if kwargs:
            raise ValueError(f"save_pretrained does not know the arguments {sorted(kwargs)}")
        model = getattr(model, "module", model) if isinstance(model, torch.nn.DataParallel) else model
        tensors = file_state_dict(model, state_dict, tied=safe_serialization)
        name = SAFE_NAME if safe_serialization else BIN_NAME
        with saving_directory(folder, is_weight_file) as saving:
            _write_config(model, saving)
            count = sum(parameter.numel() for parameter in model.parameters())
            _write_weights(tensors, saving, name, variant, max_shard_size, save_function, count)
            _mark_stale(folder, saving, name, variant)
        _warn_of_others(folder, name)


def file_state_dict(model: Any, state_dict: Mapping[str, Tensor] | None = None, tied: bool = True) -> dict[str, Tensor]:
    """The tensors to write, by the names of the family's files; with `tied`, tied names are left out."""
    quantizer = getattr(model, "quantizer", None)
    if state_dict is None:
        state_dict = quantizer.state_dict_to_save(model) if quantizer is not None else model.state_dict()
    tensors = dict(state_dict)
    ties: dict[str, str] = getattr(model, "active_ties", dict)() if tied else {}
    for target, source in ties.items():
        if target in tensors and source in tensors and _same(tensors[target], tensors[source]):
            del tensors[target]
    return _separate(_file_names(model, tensors)) if tied else _file_names(model, tensors)


def _same(one: Tensor, other: Tensor) -> bool:
    same_place = one.data_ptr() == other.data_ptr() and one.stride() == other.stride()
    return one is other or (one.shape == other.shape and one.dtype == other.dtype and same_place)


def _file_names(model: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The key rules of the model and the models inside it, innermost first, towards the file."""
    for prefix, part in reversed(levels(model)):
        uses = conversions(tensors, part.key_rules, getattr(part, "config", None), prefix, to_file=True)
        made: dict[str, Tensor] = {}
        for use in uses:
            results = use.function([tensors.pop(name) for name in use.sources], use.config, [])
            made.update(zip(numbered(use.targets, len(results)), results, strict=True))
        inner = {name for name in tensors if name.startswith(prefix)}
        renamed = {
            prefix + rename(name[len(prefix) :], part.key_rules, to_file=True) if name in inner else name: tensor
            for name, tensor in tensors.items()
        }
        assert len(renamed) == len(tensors), f"{type(part).__name__}: two tensors get one name in the file"
        tensors = {**renamed, **made}
    return tensors


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors, none of which shares memory with another: the format has no views."""
    seen: set[tuple[Any, int]] = set()
    separate: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        place = (tensor.device, tensor.untyped_storage().data_ptr())
        if place in seen and tensor.numel() and not tensor.is_meta:
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(place)
        separate[name] = tensor.contiguous()
    return separate


def _write_config(model: Any, saving: Saving) -> None:
    config = getattr(model, "config", None)
    if config is not None:
        config.architectures = [type(model).__name__]
        if getattr(model, "dtype", None) is not None:
            config.torch_dtype = model.dtype
        config.save_pretrained(saving.folder)
    if hasattr(model, "_save_companions"):
        model._save_companions(saving.folder)
    saving.adopt()


def _write_weights(
    tensors: Mapping[str, Tensor],
    saving: Saving,
    name: str,
    variant: str | None,
    max_shard_size: int | str,
    save_function: Callable[..., Any],
    parameter_count: int,
) -> None:
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors.torch import save_file

    stem, _, suffix = name.rpartition(".")
    stem = f"{stem}.{variant}" if variant else stem
    split = split_torch_state_dict_into_shards(
        dict(tensors), filename_pattern=f"{stem}{{suffix}}.{suffix}", max_shard_size=max_shard_size
    )
    for filename, names in split.filename_to_tensors.items():
        shard = {key: tensors[key] for key in names}
        if suffix == "safetensors":
            save_file(shard, saving.path(filename), metadata={"format": "pt"})
        else:
            save_function(shard, saving.path(filename))
    if split.is_sharded:
        metadata = {"total_parameters": parameter_count, **split.metadata}
        index = {"metadata": metadata, "weight_map": split.tensor_to_filename}
        filename = f"{name}.index.{variant}.json" if variant else f"{name}.index.json"
        saving.path(filename).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", "utf-8")


def is_weight_file(name: str) -> bool:
    """Whether a save of weights may write, and so remove, a file of that name."""
    return _WEIGHT_FILE.fullmatch(name) is not None


def _mark_stale(folder: Path, saving: Saving, name: str, variant: str | None) -> None:
    """The weights of an older save in the same format and variant; other variants and formats are others' files."""
    stem, _, suffix = name.rpartition(".")
    part = re.escape(f".{variant}") if variant else ""
    own = re.compile(rf"{stem}{part}(-\d{{5}}-of-\d{{5}})?\.{suffix}|{stem}\.{suffix}\.index{part}\.json")
    for path in folder.iterdir():
        if own.fullmatch(path.name):
            saving.remove(path.name)


def _warn_of_others(folder: Path, name: str) -> None:
    """.bin files are read last: weights that an older save left in safetensors files would hide them."""
    if name == BIN_NAME:
        hiding: Iterable[str] = (n for n in (SAFE_NAME, f"{SAFE_NAME}.index.json") if (folder / n).exists())
        for other in hiding:
            logger.warning(f"{folder} also holds {other}, which from_pretrained prefers to the {name} just written")
