"""Proof of load: every tensor of a checkpoint and every parameter of the model is accounted for."""

import importlib.util
import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from xf.checkpoint import CheckpointError, LoadError
from xf.checkpoint.sharded import load_sharded_checkpoint

_spec = importlib.util.spec_from_file_location("checkpoint_toy", Path(__file__).with_name("checkpoint_toy.py"))
toy = sys.modules.setdefault("checkpoint_toy", importlib.util.module_from_spec(_spec))
if not hasattr(toy, "ToyConfig"):
    _spec.loader.exec_module(toy)

REFERENCE = Path(__file__).parent / "goldens" / "checkpoint_toy"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the reference wrote for the toy causal model."""
    return Path(shutil.copytree(REFERENCE / "single", tmp_path / "toy"))


def edit(folder: Path, change: Any) -> None:
    """Change the tensors of a saved model; `change` takes and alters the dict."""
    tensors = load_file(folder / "model.safetensors")
    changed = change(tensors) or tensors
    save_file(changed, folder / "model.safetensors")


def same(one: nn.Module, other: nn.Module) -> None:
    for (name, a), (again, b) in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
        assert name == again and torch.equal(a, b), name


@pytest.mark.parametrize("kind", ["single", "bin"])
def test_files_of_the_reference_load_exactly(kind: str) -> None:
    model = toy.ToyForCausalLM.from_pretrained(REFERENCE / kind)
    same(model, toy.fill(toy.ToyForCausalLM(toy.ToyConfig())))
    assert model.load_report.ok and not model.training
    assert model.head.weight is model.toy.embed.weight
    assert model.load_report.tied == {"head.weight": "toy.embed.weight"}
    assert model.name_or_path == model.config.name_or_path == str(REFERENCE / kind)


def test_the_report_accounts_for_every_name(folder: Path) -> None:
    edit(folder, lambda t: t.update({"toy.layers.0.old_buffer": torch.ones(1), "strange": torch.ones(1)}))
    model, info = toy.ToyForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    report = model.load_report
    in_file = set(load_file(folder / "model.safetensors"))
    by_file = {report.renamed.get(name, name) for name in in_file}
    assert by_file == set(report.used) | set(report.unexpected) | set(report.ignored)
    sorts = [report.used, list(report.tied), report.missing, report.newly_initialised, report.computed, report.allowed]
    assert sorted(name for names in sorts for name in names) == sorted(model.state_dict())
    assert report.ignored == ["toy.layers.0.old_buffer"]
    assert info == {
        "missing_keys": ["classifier.0.bias", "classifier.0.weight", "classifier.1.bias", "classifier.1.weight"],
        "unexpected_keys": ["head.bias", "strange"],
        "mismatched_keys": [],
        "error_msgs": [],
    }
    assert "newly initialised: classifier.0.bias" in str(report)


def test_a_new_head_is_random_and_said_loudly(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    from xf import logging

    logging.enable_propagation()
    model = toy.ToyForSequenceClassification.from_pretrained(folder)
    logging.disable_propagation()
    assert "new and random: classifier.0.bias" in caplog.text and "Train these parts" in caplog.text
    weight = model.classifier[0].weight
    assert 0.01 < weight.std() < 0.03 and torch.equal(model.classifier[0].bias, torch.zeros(4))


def test_base_and_head_checkpoints_fit_both_ways(folder: Path, tmp_path: Path) -> None:
    base, info = toy.ToyModel.from_pretrained(folder, output_loading_info=True)
    assert info["unexpected_keys"] == ["head.bias"] and not info["missing_keys"]
    same(base, toy.fill(toy.ToyForCausalLM(toy.ToyConfig())).toy)
    base.save_pretrained(tmp_path / "base")
    head, info = toy.ToyForCausalLM.from_pretrained(tmp_path / "base", output_loading_info=True)
    assert info["missing_keys"] == ["head.bias"]
    same(head.toy, base)
    edit(tmp_path / "base", lambda t: t.update({"strange": torch.ones(1)}))
    head, info = toy.ToyForCausalLM.from_pretrained(tmp_path / "base", output_loading_info=True)
    assert info["unexpected_keys"] == ["toy.strange"] and head.load_report.unexpected == ["strange"]


def test_a_head_with_some_of_its_tensors_is_an_error(folder: Path) -> None:
    edit(folder, lambda t: t.update({"classifier.0.weight": torch.ones(4, 16), "classifier.0.bias": torch.ones(4)}))
    with pytest.raises(LoadError, match=r"missing in the files: classifier\.1\.weight"):
        toy.ToyForSequenceClassification.from_pretrained(folder)


@pytest.mark.parametrize("name", ["toy.layers.1.dense.bias", "toy.embed.weight", "toy.scale", "toy.norm.running_mean"])
def test_a_missing_tensor_is_an_error_unless_it_is_allowed(name: str, folder: Path) -> None:
    edit(folder, lambda t: {key: value for key, value in t.items() if key != name})
    with pytest.raises(LoadError, match=name) as caught:
        toy.ToyForCausalLM.from_pretrained(folder)
    assert name in caught.value.report.missing
    model, info = toy.ToyForCausalLM.from_pretrained(folder, allow_missing=[name], output_loading_info=True)
    assert set(info["missing_keys"]) - {"head.weight"} == {name}, "and what is tied to it"
    assert torch.isfinite(model.state_dict()[name].float()).all()


def test_a_missing_layer_is_an_error(folder: Path) -> None:
    with pytest.raises(LoadError, match=r"toy\.layers\.2\.dense\.weight"):
        toy.ToyForCausalLM.from_pretrained(folder, num_hidden_layers=3)
    with pytest.raises(LoadError, match="no tensor of the files fits"):
        edit(folder, lambda t: {f"other.{key}": value for key, value in t.items()})
        toy.ToyForCausalLM.from_pretrained(folder)


def test_what_the_class_allows_may_be_absent(folder: Path) -> None:
    edit(folder, lambda t: {key: value for key, value in t.items() if "pooler" not in key})
    model, info = toy.ToyForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert info["missing_keys"] == ["toy.pooler.bias", "toy.pooler.weight"], "allowed, but said: it is random"
    assert model.toy.pooler.weight.std() > 0.01

    class WithScale(toy.ToyModel):
        allow_missing = ("scale",)

    edit(folder, lambda t: {key: value for key, value in t.items() if "scale" not in key})
    model, info = WithScale.from_pretrained(folder, allow_missing="pooler.*", output_loading_info=True)
    assert "scale" not in info["missing_keys"] and model.load_report.allowed == ["scale"], "computed: nothing to say"
    assert torch.equal(model.scale, torch.ones(16))


def test_constructed_values_survive_where_the_file_has_none(folder: Path) -> None:
    edit(folder, lambda t: {key: value for key, value in t.items() if key != "toy.scale"})
    model = toy.ToyForCausalLM.from_pretrained(folder, allow_missing="*scale")
    assert torch.equal(model.toy.scale, torch.ones(16))


def test_index_buffers_that_newer_files_leave_out_are_computed(folder: Path) -> None:
    edit(folder, lambda t: {key: value for key, value in t.items() if "position_ids" not in key})
    model = toy.ToyForCausalLM.from_pretrained(folder)
    assert model.load_report.computed == ["toy.position_ids"]
    assert torch.equal(model.toy.position_ids, torch.arange(20)[None])


def test_buffers_that_no_file_holds_have_their_values(folder: Path) -> None:
    fresh = toy.ToyModel(toy.ToyConfig())
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        model = toy.ToyModel.from_pretrained(folder, torch_dtype=dtype)
        assert torch.equal(model.inv_freq, fresh.inv_freq)


def test_a_wrong_shape_is_an_error_unless_ignored(folder: Path) -> None:
    with pytest.raises(LoadError) as caught:
        toy.ToyForCausalLM.from_pretrained(folder, vocab_size=60)
    assert "size mismatch for toy.embed.weight: (50, 16) in the file, (60, 16) in the model" in str(caught.value)
    assert isinstance(caught.value, (ValueError, RuntimeError, OSError))
    model, info = toy.ToyForCausalLM.from_pretrained(
        folder, vocab_size=60, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert info["mismatched_keys"] == ["head.bias", "toy.embed.weight"] and info["missing_keys"] == []
    assert model.toy.embed.weight.shape == (60, 16) and model.toy.embed.weight.std() > 0.01


def test_strict_allows_nothing(folder: Path) -> None:
    toy.ToyForCausalLM.from_pretrained(folder, strict=True)
    with pytest.raises(LoadError, match=r"no place for: head\.bias"):
        toy.ToyModel.from_pretrained(folder, strict=True)
    toy.ToyModel.from_pretrained(folder, strict=True, ignore_unexpected=["head.*"])
    with pytest.raises(LoadError, match="would be new"):
        toy.ToyForSequenceClassification.from_pretrained(folder, strict=True, ignore_unexpected=["head.*"])


def test_dtypes(folder: Path) -> None:
    load = toy.ToyForCausalLM.from_pretrained
    assert load(folder).dtype == load(folder).config.torch_dtype == torch.float32
    half = load(folder, torch_dtype="float16")
    assert half.dtype == half.toy.norm.running_mean.dtype == half.config.torch_dtype == torch.float16
    assert half.toy.position_ids.dtype == torch.int64
    assert half.load_report.converted["toy.scale"] == "float32 -> float16"
    half.save_pretrained(folder)
    assert load(folder).dtype == torch.float32, "the default does not depend on the files"
    assert load(folder, torch_dtype="auto").dtype == torch.float16
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "torch_dtype"}))
    assert load(folder, dtype="auto").dtype == torch.float16, "without a word in the config: what the file holds"
    for bad in ("float17", torch.int8, 3):
        with pytest.raises(ValueError, match="is not a floating dtype"):
            load(folder, torch_dtype=bad)
    assert torch.get_default_dtype() == torch.float32


class PairConfig(toy.PretrainedConfig):
    model_type = "toy_pair"
    sub_configs: ClassVar = {"text_config": toy.ToyConfig, "image_config": toy.ToyConfig}
    text_config: Any = None
    image_config: Any = None


class Pair(toy.PreTrainedModel):
    config_class = PairConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.text, self.image = toy.ToyModel(config.text_config), toy.ToyModel(config.image_config)
        self.join = nn.Linear(4, 4)
        self.post_init()


def test_dtypes_by_part(tmp_path: Path) -> None:
    toy.fill(Pair(PairConfig())).save_pretrained(tmp_path)

    def dtypes(**arguments: Any) -> tuple[Any, ...]:
        model = Pair.from_pretrained(tmp_path, **arguments)
        configs = (model.config, model.config.text_config, model.config.image_config)
        made = (model.join.weight.dtype, model.text.scale.dtype, model.image.norm.running_mean.dtype)
        assert model.text.inv_freq.dtype == model.image.inv_freq.dtype == torch.float32, "computed in float32"
        return (*made, *(c.torch_dtype for c in configs))

    f32, f16, b16 = torch.float32, torch.float16, torch.bfloat16
    assert dtypes() == (f32,) * 6
    assert dtypes(torch_dtype=f16) == (f16,) * 6
    assert dtypes(torch_dtype={"text_config": f16, "": b16})[:5] == (b16, f16, b16, b16, f16)
    assert dtypes(torch_dtype={"image_config": "float16"})[:3] == (f32, f32, f16)


def test_parts_that_stay_in_float32(folder: Path) -> None:
    class Careful(toy.ToyModel):
        keep_in_fp32 = ("LayerNorm",)

    half = Careful.from_pretrained(folder, torch_dtype=torch.float16)
    assert half.layers[0].LayerNorm.weight.dtype == torch.float32 and half.layers[0].dense.weight.dtype == torch.float16
    assert (
        Careful.from_pretrained(folder, torch_dtype=torch.bfloat16).layers[0].LayerNorm.weight.dtype == torch.bfloat16
    )


def test_integers_for_floats_are_refused(folder: Path) -> None:
    edit(folder, lambda t: t.update({"toy.scale": torch.ones(16, dtype=torch.int8)}))
    with pytest.raises(CheckpointError, match=r"toy\.scale is torch\.int8 in the file"):
        toy.ToyForCausalLM.from_pretrained(folder)


def test_old_names_are_understood(folder: Path) -> None:
    def rename(tensors: dict[str, Any]) -> dict[str, Any]:
        names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        return {k.replace(o, n): v for k, v in tensors.items() for o, n in names.items() if o in k} | {
            k: v for k, v in tensors.items() if "LayerNorm" not in k
        }

    edit(folder, rename)
    model = toy.ToyForCausalLM.from_pretrained(folder)
    same(model, toy.fill(toy.ToyForCausalLM(toy.ToyConfig())))
    assert model.load_report.renamed["toy.layers.0.LayerNorm.gamma"] == "toy.layers.0.LayerNorm.weight"


def test_weight_norm_of_old_files_is_understood(tmp_path: Path) -> None:
    class Normed(toy.ToyPreTrainedModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 1))
            self.post_init()

    model = Normed(toy.ToyConfig())
    model.save_pretrained(tmp_path)
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    edit(tmp_path, lambda t: {next((k.replace(n, o) for n, o in old.items() if n in k), k): v for k, v in t.items()})
    assert set(load_file(tmp_path / "model.safetensors")) == {"conv.bias", "conv.weight_g", "conv.weight_v"}
    again = Normed.from_pretrained(tmp_path)
    assert torch.equal(again.conv.weight, model.conv.weight) and again.load_report.ok


def test_a_tie_may_be_in_the_file_under_either_name(folder: Path) -> None:
    edit(folder, lambda t: {("head.weight" if k == "toy.embed.weight" else k): v for k, v in t.items()})
    model = toy.ToyForCausalLM.from_pretrained(folder)
    same(model, toy.fill(toy.ToyForCausalLM(toy.ToyConfig())))


def test_two_different_tensors_for_one_tie_are_warned_about(folder: Path) -> None:
    edit(folder, lambda t: t.update({"head.weight": t["toy.embed.weight"] + 1}))
    model = toy.ToyForCausalLM.from_pretrained(folder)
    assert "head.weight differs from toy.embed.weight" in model.load_report.warnings[0]
    free = toy.ToyForCausalLM.from_pretrained(folder, tie_word_embeddings=False)
    assert free.load_report.ok and torch.equal(free.head.weight, free.toy.embed.weight + 1)


def test_tensors_are_views_of_the_file_until_written_to(folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    one, other = (toy.ToyForCausalLM.from_pretrained(folder) for _ in range(2))
    size = (folder / "model.safetensors").stat().st_size
    assert one.toy.layers[0].dense.weight.untyped_storage().nbytes() == size
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1)
    same(other, toy.fill(toy.ToyForCausalLM(toy.ToyConfig())))
    assert (folder / "model.safetensors").read_bytes() == before
    one.save_pretrained(folder)  # over the file that `other` is mapped to
    same(other, toy.fill(toy.ToyForCausalLM(toy.ToyConfig())))


def test_a_loaded_model_trains(folder: Path) -> None:
    model = toy.ToyForCausalLM.from_pretrained(folder).train()
    assert all(p.requires_grad for p in model.parameters())
    model(torch.arange(6)[None]).square().sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert model.toy.embed.weight.grad.abs().sum() > 0


def test_a_state_dict_in_place_of_files_is_copied() -> None:
    tensors = toy.fill(toy.ToyForCausalLM(toy.ToyConfig())).state_dict()
    model = toy.ToyForCausalLM.from_pretrained(None, config=toy.ToyConfig(), state_dict=tensors)
    model.toy.scale.data.zero_()
    assert tensors["toy.scale"].abs().sum() > 0


def test_key_mapping_renames_first(folder: Path) -> None:
    edit(folder, lambda t: {k.replace("toy.layers", "net.h"): v for k, v in t.items()})
    with pytest.raises(LoadError):
        toy.ToyForCausalLM.from_pretrained(folder)
    model = toy.ToyForCausalLM.from_pretrained(folder, key_mapping={r"^net\.h": "toy.layers"})
    same(model, toy.fill(toy.ToyForCausalLM(toy.ToyConfig())))


def test_arguments_that_cannot_be_met_are_refused(folder: Path) -> None:
    load = toy.ToyForCausalLM.from_pretrained
    for arguments, message in (
        ({"trust_remote_code": True}, "never runs code"),
        ({"device_map": "auto"}, "plugin"),
        ({"device_map": {"toy": "cpu", "head": "cpu"}}, "plugin"),
        ({"device_map": "nowhere"}, "not a device"),
        ({"max_memory": {0: "1GB"}}, "max_memory"),
        ({"from_tf": True}, "other frameworks"),
        ({"torch_dtype": "float16", "dtype": "float32"}, "two names"),
        ({"torch_dtype": {"nothing": "float16"}}, "nothing"),
        ({"variant": "fp16"}, "model.fp16.safetensors"),
    ):
        with pytest.raises(ValueError, match=message):
            load(folder, **arguments)
    with pytest.raises(TypeError, match="bla"):
        load(folder, bla=1)
    assert load(folder, device_map={"": "cpu"}, trust_remote_code=False, low_cpu_mem_usage=True).device.type == "cpu"
    with torch.device("meta"):
        assert load(folder).device.type == "meta"


def test_config_fields_and_constructor_arguments_pass_through(folder: Path) -> None:
    class WithArgument(toy.ToyModel):
        def __init__(self, config: Any, extra: int = 0) -> None:
            super().__init__(config)
            self.extra = extra

    model = WithArgument.from_pretrained(folder, extra=5, initializer_range=0.5)
    assert model.extra == 5 and model.config.initializer_range == 0.5
    config = toy.ToyConfig()
    assert WithArgument.from_pretrained(folder, config=config).config is not config


def test_threads_may_load_and_build_at_once(folder: Path) -> None:
    problems: list[Any] = []

    def load() -> None:
        for _ in range(10):
            same(toy.ToyForCausalLM.from_pretrained(folder), expected)

    def build() -> None:
        for _ in range(20):
            std = toy.ToyModel(toy.ToyConfig()).layers[0].dense.weight.std()
            if not 0.01 < std < 0.03:
                problems.append(std)

    expected = toy.fill(toy.ToyForCausalLM(toy.ToyConfig()))
    threads = [threading.Thread(target=work) for work in (load, build, load, build)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_from_config_takes_dtype_and_attention() -> None:
    config = toy.ToyConfig(torch_dtype="bfloat16")
    assert toy.ToyModel._from_config(config).dtype == torch.bfloat16
    model = toy.ToyModel._from_config(config, torch_dtype=torch.float16, attn_implementation="eager")
    assert model.dtype == torch.float16 and model.config._attn_implementation == "eager"


def test_sharded_checkpoints_load_into_any_module(tmp_path: Path) -> None:
    saved = toy.fill(toy.ToyModel(toy.ToyConfig()))
    saved.save_pretrained(tmp_path, max_shard_size="2KB")
    model = toy.ToyModel(toy.ToyConfig())
    result = load_sharded_checkpoint(model, tmp_path)
    assert not result.missing_keys and not result.unexpected_keys
    same(model, saved)
    with pytest.raises(RuntimeError, match="missing"):
        load_sharded_checkpoint(toy.ToyModel(toy.ToyConfig(num_hidden_layers=3)), tmp_path)
    assert load_sharded_checkpoint(toy.ToyModel(toy.ToyConfig(num_hidden_layers=1)), tmp_path, strict=False)
    with pytest.raises(CheckpointError, match="no index"):
        load_sharded_checkpoint(model, REFERENCE / "single")


def test_a_single_weight_file_can_be_named(folder: Path) -> None:
    os.rename(folder / "model.safetensors", folder / "other.safetensors")
    model = toy.ToyForCausalLM.from_pretrained(folder / "other.safetensors", config=folder)
    same(model, toy.fill(toy.ToyForCausalLM(toy.ToyConfig())))
