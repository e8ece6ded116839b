"""The record of a forward: two files whose tree is that of the calls."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from xf.model_debugging_utils import model_addition_debugger_context


class Layered(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))

    def forward(self, ids, scale=1.0):
        hidden = self.embed(ids)
        for layer in self.layers:
            hidden = layer(hidden)
        if scale < 0:
            raise RuntimeError("negative scale")
        return {"hidden": hidden * scale}


def trees(folder):
    return [
        json.loads((folder / f"Layered_debug_tree_{kind}.json").read_text()) for kind in ("SUMMARY", "FULL_TENSORS")
    ]


def paths(tree):
    return [child["module_path"] for child in tree["children"]]


def test_inputs_outputs_and_statistics_of_every_call(tmp_path):
    model, ids = Layered(), torch.tensor([[1, 2]])
    with model_addition_debugger_context(model, debug_path=str(tmp_path), do_prune_layers=False):
        output = model.forward(ids, scale=2.0)
    assert not output["hidden"].requires_grad
    summary, full = trees(tmp_path)
    assert paths(summary) == ["Layered.embed", *(f"Layered.layers.{i}" for i in range(4))]
    ids_node = {"shape": "torch.Size([1, 2])", "dtype": "torch.int64"}
    assert summary["inputs"] == {"args": [ids_node], "kwargs": {"scale": "2.0"}}
    assert full["inputs"]["args"] == [{**ids_node, "value": ["tensor([[1, 2]])"]}]
    assert summary["outputs"]["hidden"]["mean"] == repr(output["hidden"].mean())
    assert "value" not in summary["outputs"]["hidden"] and "children" not in summary["children"][0]


def test_of_a_list_of_layers_the_first_and_the_last_are_kept(tmp_path):
    model = Layered()
    with model_addition_debugger_context(model, debug_path=str(tmp_path)):
        model.forward(torch.tensor([[1]]))
    assert paths(trees(tmp_path)[0]) == ["Layered.embed", "Layered.layers.0", "Layered.layers.3"]


def test_tensors_as_files(tmp_path):
    model = Layered()
    with model_addition_debugger_context(model, debug_path=str(tmp_path / "new"), use_repr=False):
        output = model.forward(torch.tensor([[1]]))
    file = trees(tmp_path / "new")[1]["outputs"]["hidden"]["value"]
    torch.testing.assert_close(load_file(tmp_path / "new" / file)["data"], output["hidden"])


def test_a_forward_that_raises_writes_nothing_and_leaves_the_model_as_it_was(tmp_path):
    model = Layered()
    with pytest.raises(RuntimeError, match="negative"), model_addition_debugger_context(model, str(tmp_path)):
        model.forward(torch.tensor([[1]]), scale=-1.0)
    assert not list(tmp_path.iterdir()) and "forward" not in vars(model)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
