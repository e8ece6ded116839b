"""The method on the kernel's quantizer contract."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xf.interfaces.quantizer import QuantizationConfig, Quantizer, matching_linears
from xf.logging import get_logger

from .configuration import Int8Config
from .linear import Int8Linear, fast_kernel_available, quantize_weight

logger = get_logger(__name__)


class Int8Quantizer(Quantizer):
    """Replaces linear layers by `Int8Linear`; converts weights while they are read."""

    config_class = Int8Config
    quantization_config: Int8Config

    def validate(self, *, dtype: torch.dtype, device: torch.device) -> None:
        """Raises: ValueError off the CPU, and for a dtype that is no floating point one."""
        if torch.device(device).type not in ("cpu", "meta"):
            raise ValueError(f"int8 runs on CPUs; the model is to go to {device}. Load it with device_map='cpu'.")
        if not dtype.is_floating_point:
            raise ValueError(f"int8 needs a floating point dtype for what is not quantized, not {dtype}.")
        if self.quantization_config.kernel == "auto" and not fast_kernel_available():
            logger.warning("This torch has no fbgemm: int8 layers compute with plain operations, which is slow.")

    @property
    def fast(self) -> bool:
        """Whether torch's kernels are used."""
        return self.quantization_config.kernel == "auto" and fast_kernel_available()

    def match(self, model: nn.Module) -> list[str]:
        return matching_linears(model, self.quantization_config.modules_to_not_convert)

    def prepare(self, model: nn.Module) -> None:
        for name in self.match(model):
            linear = model.get_submodule(name)
            assert isinstance(linear, nn.Linear), "matching_linears names linear layers"
            empty = Int8Linear(
                linear.in_features,
                linear.out_features,
                linear.bias is not None,
                dynamic=self.quantization_config.activation_scheme == "dynamic",
                fast=self.fast,
                device="meta",
                dtype=linear.weight.dtype,
            )
            _replace(model, name, empty)

    def convert(self, model: nn.Module, name: str, tensor: Tensor) -> dict[str, Tensor]:
        layer = _layer_of(model, name)
        if layer is None or not name.endswith(".weight"):
            return {name: tensor}
        if self.pre_quantized:
            if tensor.dtype != torch.int8:
                raise ValueError(f"{name} is {tensor.dtype} in a checkpoint whose config says int8: it is damaged.")
            return {name: tensor}
        weight, scale = quantize_weight(tensor)
        return {name: weight, f"{name}_scale": scale}

    def finish(self, model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, Int8Linear):
                _check(module)
                module.pack()

    def dequantize(self, model: nn.Module) -> None:
        """Ordinary layers again, with the rounded weights."""
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
        for name, module in list(model.named_modules()):
            if isinstance(module, Int8Linear):
                linear = nn.Linear(module.in_features, module.out_features, module.bias is not None, dtype=dtype)
                linear.weight = nn.Parameter(module.dequantized().to(dtype))
                if module.bias is not None:
                    linear.bias = nn.Parameter(module.bias.detach().clone())
                _replace(model, name, linear.train(module.training))


def quantize(model: nn.Module, config: QuantizationConfig | None = None) -> nn.Module:
    """Quantize a model that is in memory already, in place; returns it."""
    quantizer = Int8Quantizer(config or Int8Config(), pre_quantized=False)
    dynamic = quantizer.quantization_config.activation_scheme == "dynamic"
    for name in quantizer.match(model):
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear), "matching_linears names linear layers"
        _replace(model, name, Int8Linear.from_linear(layer, dynamic=dynamic, fast=quantizer.fast).train(layer.training))
    quantizer.finish(model)
    return model


def _check(module: Int8Linear) -> None:
    """A scale from a file that is not finite, or of another shape, would spread through everything."""
    if module.weight.dtype != torch.int8 or module._packed is None and module.weight.shape[0] != module.out_features:
        raise ValueError(
            f"int8 weights are {module.weight.dtype} {tuple(module.weight.shape)}: the checkpoint is damaged."
        )
    scale = module.weight_scale
    if scale.shape != (module.out_features,) or not bool(torch.isfinite(scale).all()):
        raise ValueError(f"weight_scale of shape {tuple(scale.shape)} must be {module.out_features} finite numbers.")


def _layer_of(model: nn.Module, name: str) -> Int8Linear | None:
    try:
        found = model.get_submodule(name.rpartition(".")[0])
    except AttributeError:
        return None
    return found if isinstance(found, Int8Linear) else None


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, key = name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, key, module)
