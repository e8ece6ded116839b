"""A record of every call inside a model's forward, as two JSON files: for comparing an implementation with another.

Documented in internal/model_debugging_utils.md: MODEL_debug_tree_SUMMARY.json holds shapes and statistics of all inputs
and outputs, nested as the modules call each other; MODEL_debug_tree_FULL_TENSORS.json holds the values too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from xf.checkpoint.save import write_json_atomic

Node = dict[str, Any]


class _Describer:
    """Turns the arguments and results of modules into JSON; with `folder`, values go to files in it."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def __call__(self, value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            return self.tensor(value, name)
        if isinstance(value, Mapping):
            return {str(key): self(item, f"{name}_{key}") for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self(item, f"{name}_{index}") for index, item in enumerate(value)]
        return repr(value)

    def tensor(self, value: Tensor, name: str) -> Node:
        node: Node = {"shape": repr(value.shape), "dtype": str(value.dtype)}
        if self.folder is None:
            node["value"] = repr(value).splitlines()
        else:
            file = f"{name}.safetensors"
            save_file({"data": value.detach().contiguous().clone()}, self.folder / file)
            node["value"] = f"./{file}"
        if value.is_floating_point() and value.numel():
            statistics = {"mean": value.mean(), "std": value.std(), "min": value.min(), "max": value.max()}
            node |= {key: repr(found) for key, found in statistics.items()}
        return node


class _Calls:
    """The tree of calls, filled by hooks while the model runs."""

    def __init__(self, describe: _Describer) -> None:
        self.describe, self.open = describe, [{"children": []}]

    def enter(self, path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, keep_empty: bool = False) -> None:
        inputs = {"args": self.describe(args, f"{path}_inputs_args")} if args or keep_empty else {}
        if kwargs:
            inputs["kwargs"] = self.describe(kwargs, f"{path}_inputs_kwargs")
        self.open.append({"module_path": path, "inputs": inputs, "children": []})

    def leave(self, path: str, output: Any) -> None:
        node = self.open.pop()
        node["outputs"] = self.describe(output, f"{path}_outputs")
        if not node["children"]:
            del node["children"]
        self.open[-1]["children"].append(node)


def _without_inner_layers(node: Node) -> Node:
    """Of the calls of a numbered list of layers only the first and the last, which is where differences show."""
    children = [_without_inner_layers(child) for child in node.get("children", ())]
    numbers: dict[str, list[int]] = {}
    for child in children:
        if match := re.search(r"^(.*)\.(\d+)$", child["module_path"]):
            numbers.setdefault(match[1], []).append(int(match[2]))

    def kept(child: Node) -> bool:
        match = re.search(r"^(.*)\.(\d+)$", child["module_path"])
        return match is None or int(match[2]) in (min(numbers[match[1]]), max(numbers[match[1]]))

    return {**node, "children": [c for c in children if kept(c)]} if children else node


def _summary(node: Any) -> Any:
    """The tree without the tensors' values."""
    if isinstance(node, dict):
        return {key: _summary(item) for key, item in node.items() if not (key == "value" and "dtype" in node)}
    return [_summary(item) for item in node] if isinstance(node, list) else node


@contextmanager
def model_addition_debugger_context(
    model: nn.Module, debug_path: str | None = None, do_prune_layers: bool = True, use_repr: bool = True
) -> Iterator[nn.Module]:
    """Record what every module gets and gives in one `model.forward(...)`; gradients are off inside.

    debug_path: folder of the two files, made where it does not exist (None: the working directory).
    do_prune_layers: keep only the first and the last of a list of layers. use_repr: values as printed by torch; False
    writes each tensor to a safetensors file beside them. Nothing is written when the forward raises.
    """
    folder = Path(debug_path or ".")
    folder.mkdir(parents=True, exist_ok=True)
    calls = _Calls(_Describer(None if use_repr else folder))
    root = type(model).__name__
    hooks = []
    for name, module in model.named_modules():
        if name:
            path = f"{root}.{name}"
            before = lambda _, args, kwargs, path=path: calls.enter(path, args, kwargs)  # noqa: E731
            after = lambda _, args, kwargs, output, path=path: calls.leave(path, output)  # noqa: E731
            hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
            hooks.append(module.register_forward_hook(after, with_kwargs=True))
    forward = model.forward

    def recorded(*args: Any, **kwargs: Any) -> Any:
        calls.enter(root, args, kwargs, keep_empty=True)
        output = forward(*args, **kwargs)
        calls.leave(root, output)
        return output

    model.forward = recorded  # the documented use calls forward itself, which runs no hooks
    try:
        with torch.no_grad():
            yield model
    finally:
        del model.forward
        for hook in hooks:
            hook.remove()
    for tree in calls.open[0]["children"]:
        tree = _without_inner_layers(tree) if do_prune_layers else tree
        write_json_atomic(folder / f"{root}_debug_tree_FULL_TENSORS.json", tree)
        write_json_atomic(folder / f"{root}_debug_tree_SUMMARY.json", json.loads(json.dumps(_summary(tree))))
