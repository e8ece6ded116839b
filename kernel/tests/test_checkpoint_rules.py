"""Key rules: names and tensors of a family's files against those of its modules, both ways."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from xf.checkpoint import KeyRule, LoadError, TensorRule, merge_rule, split_rule, stack_rule, transpose_rule
from xf.checkpoint.rules import rename

_spec = importlib.util.spec_from_file_location("checkpoint_toy", Path(__file__).with_name("checkpoint_toy.py"))
toy = sys.modules.setdefault("checkpoint_toy", importlib.util.module_from_spec(_spec))
if not hasattr(toy, "ToyConfig"):
    _spec.loader.exec_module(toy)

RULES = (
    KeyRule("encoder.layer.{}.attention.self.*", "layers.{}.attn.*"),
    KeyRule("head.{}.{}.weight", "out.{}.{}.w"),
    KeyRule("*.old_name", "*.name", load_only=True),
)


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("encoder.layer.11.attention.self.query.weight", "layers.11.attn.query.weight"),
        ("head.a.b.weight", "out.a.b.w"),
        ("encoder.layer.1.2.attention.self.x", "encoder.layer.1.2.attention.self.x"),  # {} is one part
        ("xencoder.layer.1.attention.self.x", "xencoder.layer.1.attention.self.x"),  # whole names
    ],
)
def test_names_both_ways(file: str, module: str) -> None:
    assert rename(file, RULES) == module
    assert rename(module, RULES, to_file=True) == file


def test_an_old_name_is_read_and_not_written() -> None:
    assert rename("a.b.old_name", RULES) == "a.b.name"
    assert rename("a.b.name", RULES, to_file=True) == "a.b.name"


PART = st.text("abc_1", min_size=1, max_size=4)


@given(PART, st.lists(PART, min_size=1, max_size=4))
def test_every_name_comes_back(one: str, many: list[str]) -> None:
    file = f"encoder.layer.{one}.attention.self.{'.'.join(many)}"
    assert rename(rename(file, RULES), RULES, to_file=True) == file


def test_hostile_names_take_no_time() -> None:
    rule = KeyRule("a.{}.b.{}.c.{}.d.*.z", "x.{}.{}.{}.*")
    assert rename("a." * 500_000, [rule]).startswith("a.a.")
    assert rename("a." + "b." * 490, [rule]).startswith("a.b.")
    with pytest.raises(AssertionError, match="one \\* at most"):
        rename("a", [KeyRule("*.*", "*.*")])


class Layer(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.q, self.k = nn.Linear(size, size), nn.Linear(size, size // 2)
        self.gate_up = nn.Linear(size, 6, bias=False)
        self.up_t = nn.Parameter(torch.ones(size, 3))
        self.experts = nn.Parameter(torch.ones(4, size, 2))


def double(tensors: Any, config: Any, shapes: Any) -> Any:
    return [tensors[0] * config.factor]


def halve(tensors: Any, config: Any, shapes: Any) -> Any:
    return [tensors[0] / config.factor]


class InnerModel(toy.ToyPreTrainedModel):
    base_model_prefix = "inner"
    ignore_unexpected = ()
    key_rules = (
        KeyRule("h.{}.*", "layers.{}.*"),
        split_rule("h.{}.qk.weight", ("layers.{}.q.weight", "layers.{}.k.weight")),
        split_rule("h.{}.qk.bias", ("layers.{}.q.bias", "layers.{}.k.bias")),
        merge_rule(("h.{}.gate.weight", "h.{}.up.weight"), "layers.{}.gate_up.weight", sizes=lambda config: (4, 2)),
        transpose_rule("h.{}.up_t", "layers.{}.up_t"),
        stack_rule("h.{}.experts.#.w", "layers.{}.experts"),
        TensorRule(("scale",), ("scale",), load=double, save=halve),
    )

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(Layer(config.hidden_size) for _ in range(config.num_hidden_layers))
        self.scale = nn.Parameter(torch.ones(3))
        self.post_init()


class OuterModel(InnerModel):
    key_rules = (KeyRule("transformer.*", "inner.*"), KeyRule("score.weight", "classifier.weight"))

    def __init__(self, config: Any) -> None:
        toy.ToyPreTrainedModel.__init__(self, config)
        self.inner = InnerModel(config)
        self.classifier = nn.Linear(config.hidden_size, 2, bias=False)
        self.post_init()


def config() -> Any:
    return toy.ToyConfig(factor=2.0)


def test_tensors_both_ways(tmp_path: Path) -> None:
    model = toy.fill(InnerModel(config()))
    model.save_pretrained(tmp_path)
    file = load_file(tmp_path / "model.safetensors")
    assert sorted(name for name in file if name.startswith("h.0")) == [
        "h.0.experts.0.w", "h.0.experts.1.w", "h.0.experts.2.w", "h.0.experts.3.w",
        "h.0.gate.weight", "h.0.qk.bias", "h.0.qk.weight", "h.0.up.weight", "h.0.up_t",
    ]  # fmt: skip
    layer = model.layers[0]
    assert torch.equal(file["h.0.qk.weight"], torch.cat([layer.q.weight, layer.k.weight]))
    assert file["h.0.gate.weight"].shape[0] == 4 and file["h.0.up.weight"].shape[0] == 2
    assert torch.equal(file["h.0.up_t"], layer.up_t.T) and torch.equal(file["h.0.experts.2.w"], layer.experts[2])
    assert torch.equal(file["scale"] * 2, model.scale)
    again = InnerModel.from_pretrained(tmp_path)
    assert again.load_report.ok, again.load_report
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_rules_of_a_model_inside_another_apply_there(tmp_path: Path) -> None:
    model = toy.fill(OuterModel(config()))
    model.save_pretrained(tmp_path / "outer")
    names = set(load_file(tmp_path / "outer" / "model.safetensors"))
    assert {"transformer.h.0.qk.weight", "transformer.scale", "score.weight"} <= names
    again = OuterModel.from_pretrained(tmp_path / "outer")
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    model.inner.save_pretrained(tmp_path / "inner")
    head, info = OuterModel.from_pretrained(tmp_path / "inner", output_loading_info=True)
    assert info["missing_keys"] == ["classifier.weight"]
    assert torch.equal(head.inner.layers[1].q.weight, model.inner.layers[1].q.weight)


def test_a_rule_without_all_its_tensors_is_not_used(tmp_path: Path) -> None:
    model = InnerModel(config())
    model.save_pretrained(tmp_path)
    from safetensors.torch import save_file

    file = load_file(tmp_path / "model.safetensors")
    del file["h.1.up.weight"]
    save_file(file, tmp_path / "model.safetensors")
    with pytest.raises(LoadError, match=r"layers\.1\.gate_up\.weight") as caught:
        InnerModel.from_pretrained(tmp_path)
    assert caught.value.report.unexpected == ["h.1.gate.weight"]
