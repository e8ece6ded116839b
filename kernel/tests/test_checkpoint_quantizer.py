"""The loader and a quantizer: match, convert while loading, finish, save; on the fly and from a quantized file."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from xf.checkpoint import LoadError
from xf.interfaces.quantizer import QuantizationConfig, Quantizer, matching_linears
from xf.plugins import PluginError, hooks, registry

_spec = importlib.util.spec_from_file_location("checkpoint_toy", Path(__file__).with_name("checkpoint_toy.py"))
toy = sys.modules.setdefault("checkpoint_toy", importlib.util.module_from_spec(_spec))
if not hasattr(toy, "ToyConfig"):
    _spec.loader.exec_module(toy)

HEAD_KEPT: dict[str, object] = {"quant_method": "eighth", "modules_to_not_convert": ["head"]}
TOY = Path(__file__).parent / "goldens" / "checkpoint_toy" / "single"


class EighthConfig(QuantizationConfig):
    quant_method = "eighth"


class EighthLinear(nn.Module):
    """A linear layer whose weight is int8 with one scale per row."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        rows, columns = linear.weight.shape
        self.register_buffer("weight", torch.empty(rows, columns, dtype=torch.int8, device="meta"))
        self.register_buffer("scale", torch.empty(rows, device="meta"))
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight * self.scale[:, None], self.bias)


class EighthQuantizer(Quantizer):
    config_class = EighthConfig
    calls: list[str] = []

    def validate(self, *, dtype: torch.dtype, device: torch.device) -> None:
        self.calls.append(f"validate {dtype} {device}")

    def match(self, model: nn.Module) -> list[str]:
        return matching_linears(model, self.quantization_config.modules_to_not_convert)

    def prepare(self, model: nn.Module) -> None:
        self.calls.append("prepare")
        assert all(p.is_meta for name, p in model.named_parameters() if "scale" not in name), "nothing is allocated yet"
        self.names = self.match(model)
        for name in self.names:
            parent, _, key = name.rpartition(".")
            setattr(model.get_submodule(parent), key, EighthLinear(model.get_submodule(name)))

    def convert(self, model: nn.Module, name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
        module, _, key = name.rpartition(".")
        if self.pre_quantized or module not in self.names or key != "weight":
            return {name: tensor}
        scale = tensor.abs().amax(dim=1).clamp(min=1e-8) / 127
        return {name: (tensor / scale[:, None]).round().to(torch.int8), f"{module}.scale": scale}

    def finish(self, model: nn.Module) -> None:
        self.calls.append("finish")


@pytest.fixture(autouse=True)
def eighth() -> Iterator[None]:
    EighthQuantizer.calls.clear()
    registry("quantizer").register("eighth", EighthQuantizer)
    yield
    registry("quantizer").unregister("eighth")


def close(model: nn.Module) -> None:
    plain = toy.ToyForCausalLM.from_pretrained(TOY)
    ids = torch.arange(8)[None]
    torch.testing.assert_close(model(ids), plain(ids), atol=0.05, rtol=0.05)


def test_weights_are_quantized_while_they_are_read_and_load_again(tmp_path: Path) -> None:
    model, info = toy.ToyForCausalLM.from_pretrained(TOY, quantization_config=HEAD_KEPT, output_loading_info=True)
    assert EighthQuantizer.calls == ["validate torch.float32 cpu", "prepare", "finish"]
    assert model.toy.layers[0].dense.weight.dtype == torch.int8 and not info["missing_keys"] and model.load_report.ok
    close(model)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["quantization_config"]["quant_method"] == "eighth"
    again = toy.ToyForCausalLM.from_pretrained(tmp_path)
    assert again.quantizer.pre_quantized and again.load_report.ok
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    close(again)


def test_a_hook_sees_which_quantizer_a_model_got() -> None:
    seen = []

    class Plugin:
        @hooks.hookimpl
        def xf_dispatch_chosen(self, model: nn.Module, what: str, name: str) -> None:
            seen.append((type(model).__name__, what, name))

    hooks.register(Plugin, "seen")
    try:
        toy.ToyForCausalLM.from_pretrained(TOY, quantization_config=HEAD_KEPT)
    finally:
        hooks.unregister("seen")
    assert ("ToyForCausalLM", "quantizer", "eighth") in seen


def test_a_quantized_checkpoint_must_be_whole(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    toy.ToyForCausalLM.from_pretrained(TOY, quantization_config=HEAD_KEPT).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["toy.layers.0.dense.scale"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(LoadError, match=r"missing in the files: toy\.layers\.0\.dense\.scale"):
        toy.ToyForCausalLM.from_pretrained(tmp_path)


def test_a_method_that_is_not_installed_is_said(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="quantizer 'ninth'"):
        toy.ToyForCausalLM.from_pretrained(TOY, quantization_config={"quant_method": "ninth"})
    with pytest.raises(ValueError, match="quant_method"):
        toy.ToyForCausalLM.from_pretrained(TOY, quantization_config={"bits": 4})


def test_a_weight_of_another_shape_is_still_refused() -> None:
    with pytest.raises(ValueError, match=r"toy\.embed\.weight|size mismatch"):
        toy.ToyForCausalLM.from_pretrained(TOY, quantization_config=HEAD_KEPT, vocab_size=60)
