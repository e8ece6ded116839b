"""optimize(): faster direct forms, while names, files, results and training stay as they were."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from xf.interfaces.cache import DynamicCache
from xf.interfaces.config import PretrainedConfig
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention, NormedDecoderAttention
from xf_blocks.decoder_heads import CausalLM
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.direct import direct, takes_rows
from xf_blocks.fusing import fused_form
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm

torch.set_num_threads(1)
QKV, GATE_UP = DecoderAttention.fusable[0], GatedMLP.fusable[0]


class FusingConfig(PretrainedConfig):
    model_type = "fusing-test"
    vocab_size: int = 50
    hidden_size: int = 32
    intermediate_size: int = 48
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    max_position_embeddings: int = 64
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    bias: bool = False
    normed: bool = False
    use_cache: bool = True


class FusingBase(PreTrainedModel):
    config_class = FusingConfig
    base_model_prefix = "model"


class FusingModel(DecoderModel, FusingBase):
    def build_layer(self, config: Any, layer_idx: int) -> nn.Module:
        options = {"qkv_bias": config.bias, "out_bias": config.bias}
        if config.normed:
            attention: nn.Module = NormedDecoderAttention(config, layer_idx, RMSNorm, **options)
        else:
            attention = DecoderAttention(config, layer_idx, **options)
        mlp = GatedMLP(config.hidden_size, config.intermediate_size, "silu", config.bias)
        return PreNormLayer(attention, mlp, RMSNorm(config.hidden_size), RMSNorm(config.hidden_size))

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size)


class FusingForCausalLM(CausalLM, FusingBase):
    body_class = FusingModel


def build(dtype: torch.dtype = torch.float32, **changes: Any) -> FusingForCausalLM:
    torch.manual_seed(0)
    model = FusingForCausalLM(FusingConfig(**changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.to(dtype)


@torch.no_grad()
def decode(model: Any, step: Any = None, rows: int = 2) -> Tensor:
    """Logits (B, 5, V) of five single tokens after a prompt; step: what runs them, else the model."""
    step, cache = step or model, DynamicCache()
    model(torch.arange(rows * 4).view(rows, 4), past_key_values=cache)
    return torch.cat([step(input_ids=torch.full((rows, 1), t), past_key_values=cache).logits for t in range(5)], 1)


def is_fused(model: Any) -> tuple[bool, bool]:
    layer = model.model.layers[1]
    return fused_form(layer.self_attn, QKV) is not None, fused_form(layer.mlp, GATE_UP) is not None


@pytest.mark.parametrize("changes", [{}, {"bias": True}, {"normed": True}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_direct_steps_compute_what_the_model_computes(changes: dict[str, bool], dtype: torch.dtype) -> None:
    model = build(dtype, **changes)
    expected = decode(model)
    exact = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.1}
    torch.testing.assert_close(decode(model, model.direct_forward()), expected, **exact)
    assert is_fused(model) == (False, False)
    assert model.optimize() is model
    assert is_fused(model) == (True, True)
    torch.testing.assert_close(decode(model, model.direct_forward()), expected, **exact)
    torch.testing.assert_close(decode(model), expected, rtol=0, atol=0)


def test_one_token_per_row_has_two_dimensions_inside() -> None:
    model = build()
    assert all(takes_rows(direct(layer)) for layer in model.model.layers)
    model.model.layers[0].mlp.down_proj.register_forward_hook(lambda module, args, output: output)
    assert not takes_rows(direct(model.model.layers[0])), "a module with a hook is called, with three"
    torch.testing.assert_close(decode(model, model.direct_forward()), decode(model), rtol=1e-5, atol=1e-5)


def test_logits_to_keep_in_a_direct_step() -> None:
    model, tokens = build(), torch.arange(6)[None]
    step = model.direct_forward()
    assert step is not None
    for keep in (1, 3, torch.tensor([0, 4]), 0):
        with torch.no_grad():
            got = step(input_ids=tokens, past_key_values=DynamicCache(), logits_to_keep=keep).logits
            expected = model(tokens, logits_to_keep=keep).logits
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_files_and_names_are_those_without(bias: bool, tmp_path: Path) -> None:
    model = build(bias=bias)
    model.save_pretrained(tmp_path / "plain")
    names = list(model.state_dict())
    model.optimize().save_pretrained(tmp_path / "optimized")
    assert list(model.state_dict()) == names
    plain, optimized = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "optimized"))
    assert plain.keys() == optimized.keys()
    assert all(torch.equal(plain[name], optimized[name]) for name in plain)
    assert (tmp_path / "plain/config.json").read_text() == (tmp_path / "optimized/config.json").read_text()
    loaded = FusingForCausalLM.from_pretrained(tmp_path / "optimized")
    torch.testing.assert_close(decode(loaded), decode(model), rtol=0, atol=0)


def test_new_weights_count_whether_written_into_or_put_in_place() -> None:
    model, other = build().optimize(), build(bias=False)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.7)
    expected = decode(other)
    model.load_state_dict(other.state_dict())
    assert is_fused(model) == (True, True), "copied into the places where they lie"
    torch.testing.assert_close(decode(model, model.direct_forward()), expected, rtol=1e-5, atol=1e-5)
    model.model.layers[1].self_attn.k_proj.weight = nn.Parameter(torch.zeros(16, 32))
    assert is_fused(model) == (False, True)
    torch.testing.assert_close(decode(model, model.direct_forward()), decode(model), rtol=1e-5, atol=1e-5)
    assert is_fused(model.double()) == (False, False)
    assert is_fused(model.optimize()) == (True, True)


def test_training_and_copies_work_on() -> None:
    plain, model = build(), build().optimize()
    twin = copy.deepcopy(model)
    tokens = torch.arange(10).view(2, 5)
    for one in (plain, model):
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
        one.train()(tokens, labels=tokens).loss.backward()
        optimizer.step()
        one.eval()
    for (name, expected), (_, got) in zip(plain.named_parameters(), model.named_parameters(), strict=True):
        torch.testing.assert_close(got, expected, msg=name)
    assert is_fused(model) == (True, True)
    torch.testing.assert_close(decode(model, model.direct_forward()), decode(plain), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(decode(twin, twin.direct_forward()), decode(build()), rtol=1e-5, atol=1e-5)
