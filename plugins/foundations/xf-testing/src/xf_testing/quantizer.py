"""What every quantizer must do, on a small model that is made here."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from xf.interfaces.config import PretrainedConfig
from xf.interfaces.model import PreTrainedModel
from xf.interfaces.quantizer import QuantizationConfig, Quantizer

from .base import Conformance
from .tiny import fill_weights, tiny_floats

WIDTH = 64


class SmallConfig(PretrainedConfig):
    """Of the model that quantizers are checked on."""

    model_type = "xf_testing_small"
    hidden_size: int = WIDTH
    num_labels_out: int = 8


class SmallModel(PreTrainedModel):
    """Two blocks of two linear layers with residuals and norms, and a head."""

    config_class = SmallConfig
    base_model_prefix = "model"

    def __init__(self, config: SmallConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm": nn.LayerNorm(width),
                    "up": nn.Linear(width, 2 * width),
                    "down": nn.Linear(2 * width, width, bias=False),
                }
            )
            for _ in range(2)
        )
        self.head = nn.Linear(width, config.num_labels_out)
        self.post_init()

    def forward(self, x: Tensor) -> Tensor:
        """x (..., hidden_size) to (..., num_labels_out)."""
        for block in self.blocks:
            x = x + block["down"](torch.relu(block["up"](block["norm"](x))))
        return self.head(x)


class QuantizerConformance(Conformance):
    """Subclass, set `name` (of the entry point), and every check of the quantizer contract runs on it.

    error: how far outputs may be from the float model, relative to their size. Flags: can_save, can_dequantize,
    is_smaller (the state takes less memory), batch_invariant (a row does not depend on the rest of its batch).
    """

    contract: ClassVar[str] = "quantizer"
    name: ClassVar[str] = ""
    settings: ClassVar[dict[str, Any]] = {}
    error: ClassVar[float] = 0.05
    can_save: ClassVar[bool] = True
    can_dequantize: ClassVar[bool] = True
    is_smaller: ClassVar[bool] = True
    batch_invariant: ClassVar[bool] = True
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.bfloat16)

    def quantizer_class(self) -> type[Quantizer]:
        from xf.plugins import registry

        return registry("quantizer").get(self.name)

    def make_config(self, **changes: Any) -> QuantizationConfig:
        return self.quantizer_class().config_class(**{**self.settings, **changes})

    def checkpoint(self, folder: Path) -> Path:
        """The float model on disk."""
        model = SmallModel(SmallConfig())
        fill_weights(model)
        model.save_pretrained(folder)
        return folder

    def load(self, folder: Path, **options: Any) -> SmallModel:
        options.setdefault("quantization_config", self.make_config())
        return SmallModel.from_pretrained(folder, **options)

    def inputs(self) -> Tensor:
        return tiny_floats((5, 3, WIDTH))

    @staticmethod
    def distance(actual: Tensor, expected: Tensor) -> float:
        """Root mean square of the difference, relative to that of what is expected."""
        actual, expected = actual.detach().double(), expected.detach().double()
        difference = (actual - expected).square().mean().sqrt()
        return float(difference / expected.square().mean().sqrt())

    # -- configuration

    def test_the_config_names_its_method(self) -> None:
        assert self.make_config().to_dict()["quant_method"] == self.name

    def test_the_config_survives_json(self) -> None:
        data = json.loads(json.dumps(self.make_config().to_dict()))
        again = self.quantizer_class().config_class.from_dict(data)
        assert isinstance(again, QuantizationConfig) and again.to_dict() == self.make_config().to_dict()

    # -- results

    @pytest.mark.parametrize("which", range(2))
    def test_outputs_are_close_to_the_float_model(self, which: int, tmp_path: Path) -> None:
        if which >= len(self.dtypes):
            self.not_claimed(f"{which + 1} dtypes")
        dtype, folder = self.dtypes[which], self.checkpoint(tmp_path)
        expected = SmallModel.from_pretrained(folder)(self.inputs())
        model = self.load(folder, torch_dtype=dtype)
        actual = model(self.inputs().to(dtype))
        assert actual.dtype == dtype
        assert self.distance(actual, expected) <= self.error

    def test_it_does_quantize(self, tmp_path: Path) -> None:
        folder = self.checkpoint(tmp_path)
        plain, model = SmallModel.from_pretrained(folder), self.load(folder)
        names = self.quantizer_class()(self.make_config(), pre_quantized=False).match(plain)
        assert names, "no layer is matched"
        for name in names:
            assert type(model.get_submodule(name)) is not nn.Linear, f"{name} is still an ordinary layer"
        if self.is_smaller:
            assert self.size(model) < 0.7 * self.size(plain)

    @staticmethod
    def size(model: nn.Module) -> int:
        return sum(t.numel() * t.element_size() for t in model.state_dict().values())

    def test_every_tensor_is_accounted_for(self, tmp_path: Path) -> None:
        report = self.load(self.checkpoint(tmp_path)).load_report
        assert not report.missing and not report.unexpected and not report.newly_initialised

    def test_modules_can_be_left_out(self, tmp_path: Path) -> None:
        model = self.load(
            self.checkpoint(tmp_path),
            quantization_config=self.make_config(modules_to_not_convert=["head", "blocks.0.*"]),
        )
        assert type(model.head) is nn.Linear and type(model.blocks[0]["up"]) is nn.Linear
        assert type(model.blocks[1]["up"]) is not nn.Linear

    def test_a_row_does_not_depend_on_its_batch(self, tmp_path: Path) -> None:
        if not self.batch_invariant:
            self.not_claimed("batch_invariant")
        model, x = self.load(self.checkpoint(tmp_path)), self.inputs()
        x[1:] *= 30  # other rows of another size
        torch.testing.assert_close(model(x)[:1], model(x[:1]), atol=1e-5, rtol=1e-5)

    def test_zeros_and_one_token(self, tmp_path: Path) -> None:
        model = self.load(self.checkpoint(tmp_path))
        assert model(torch.zeros(1, WIDTH)).isfinite().all()
        assert model(torch.zeros(0, 3, WIDTH)).shape == (0, 3, 8)

    def test_same_input_same_output(self, tmp_path: Path) -> None:
        model = self.load(self.checkpoint(tmp_path))
        assert torch.equal(model(self.inputs()), model(self.inputs()))

    def test_inputs_are_not_changed(self, tmp_path: Path) -> None:
        model, x = self.load(self.checkpoint(tmp_path)), self.inputs()
        before = x.clone()
        model(x)
        assert torch.equal(x, before)

    def test_a_copy_computes_the_same(self, tmp_path: Path) -> None:
        model = self.load(self.checkpoint(tmp_path))
        assert torch.equal(copy.deepcopy(model)(self.inputs()), model(self.inputs()))

    # -- saving

    def test_saved_and_loaded_it_is_the_same(self, tmp_path: Path) -> None:
        model = self.load(self.checkpoint(tmp_path / "float"))
        if not self.can_save:
            with pytest.raises(ValueError):
                model.save_pretrained(tmp_path / "quantized")
            return
        model.save_pretrained(tmp_path / "quantized")
        config = json.loads((tmp_path / "quantized" / "config.json").read_text())
        assert config["quantization_config"]["quant_method"] == self.name
        again = SmallModel.from_pretrained(tmp_path / "quantized")
        assert torch.equal(again(self.inputs()), model(self.inputs()))
        report = again.load_report
        assert not report.missing and not report.unexpected and not report.newly_initialised

    def test_saving_twice_gives_the_same_file(self, tmp_path: Path) -> None:
        if not self.can_save:
            self.not_claimed("can_save")
        self.load(self.checkpoint(tmp_path / "float")).save_pretrained(tmp_path / "one")
        SmallModel.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
        one, two = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("one", "two"))
        assert one == two

    def test_dequantized_it_computes_much_the_same(self, tmp_path: Path) -> None:
        model = self.load(self.checkpoint(tmp_path))
        before = model(self.inputs())
        if not self.can_dequantize:
            with pytest.raises(ValueError):
                model.dequantize()
            return
        model.dequantize()
        assert type(model.blocks[0]["up"]) is nn.Linear
        assert self.distance(model(self.inputs()), before) <= self.error
