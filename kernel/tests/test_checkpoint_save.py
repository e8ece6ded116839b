"""Saving: the files of the reference byte for byte; old or new, whole, whatever happens in between."""

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from xf.checkpoint.atomic import COMMIT, saving_directory, write_atomic, write_json_atomic
from xf.checkpoint.save import is_weight_file

TOY = Path(__file__).with_name("checkpoint_toy.py")
_spec = importlib.util.spec_from_file_location("checkpoint_toy", TOY)
toy = sys.modules.setdefault("checkpoint_toy", importlib.util.module_from_spec(_spec))
if not hasattr(toy, "ToyConfig"):
    _spec.loader.exec_module(toy)

RECORDED = json.loads((Path(__file__).parent / "goldens" / "checkpoint_saved.json").read_text())
LAYOUTS: dict[str, dict[str, Any]] = {
    "single": {},
    "shards": {"max_shard_size": "2KB"},
    "variant": {"variant": "fp16"},
    "variant_shards": {"variant": "fp16", "max_shard_size": "2KB"},
    "bin": {"safe_serialization": False},
    "bin_shards": {"safe_serialization": False, "max_shard_size": "2KB"},
}


def filled(**changes: Any) -> Any:
    return toy.fill(toy.ToyForCausalLM(toy.ToyConfig(**changes)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_equal_those_of_the_reference(layout: str, tmp_path: Path) -> None:
    filled().save_pretrained(tmp_path, **LAYOUTS[layout])
    recorded = RECORDED[layout]
    assert sorted(os.listdir(tmp_path)) == sorted(recorded)
    for name, content in recorded.items():
        path = tmp_path / name
        if name.endswith(".json"):
            assert path.read_text() == content, name
        elif name.endswith(".bin"):
            assert sorted(torch.load(path, weights_only=True)) == content, name
        else:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == content, name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_saved_loads_equal(layout: str, tmp_path: Path) -> None:
    model = filled()
    model.save_pretrained(tmp_path, **LAYOUTS[layout])
    again = toy.ToyForCausalLM.from_pretrained(tmp_path, variant=LAYOUTS[layout].get("variant"))
    assert again.load_report.ok
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_a_new_layout_replaces_the_old_and_nothing_else(tmp_path: Path) -> None:
    foreign = ["notes.txt", "adapter_model.safetensors", "model.onnx", "pytorch_model.bin", "model.fp16.safetensors",
               "my-model-00001-of-00002.safetensors", "optimizer.pt"]  # fmt: skip
    for name in foreign:
        (tmp_path / name).write_text("mine")
    for layout in ("shards", "single", "shards", "shards", "single"):
        filled().save_pretrained(tmp_path, **LAYOUTS[layout])
        assert sorted(os.listdir(tmp_path)) == sorted([*foreign, *RECORDED[layout]])
        assert all((tmp_path / name).read_text() == "mine" for name in foreign)


def test_shared_and_strided_memory_is_written_whole(tmp_path: Path) -> None:
    model = filled()
    wide = torch.arange(32.0 * 16).reshape(32, 16)
    model.toy.layers[0].dense.weight = torch.nn.Parameter(wide[:16])
    model.toy.layers[1].dense.weight = torch.nn.Parameter(wide[::2])
    model.toy.scale = torch.nn.Parameter(wide[:, 0][:16])
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert torch.equal(tensors["toy.layers.0.dense.weight"], wide[:16])
    assert torch.equal(tensors["toy.layers.1.dense.weight"], wide[::2])
    assert torch.equal(tensors["toy.scale"], wide[:16, 0])


def test_a_state_dict_and_a_save_function_of_ones_own(tmp_path: Path) -> None:
    model = filled()
    tensors = {name: tensor + 1 for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    model.save_pretrained(tmp_path, state_dict=tensors)
    assert torch.equal(load_file(tmp_path / "model.safetensors")["toy.scale"], model.toy.scale + 1)
    seen = []
    model.save_pretrained(
        tmp_path,
        safe_serialization=False,
        save_function=lambda shard, path: (seen.append(len(shard)), torch.save(shard, path)),
    )
    assert seen == [len(model.state_dict())]


def test_one_process_saves(tmp_path: Path) -> None:
    filled().save_pretrained(tmp_path / "none", is_main_process=False)
    assert not (tmp_path / "none").exists()


def test_bad_arguments_change_nothing(tmp_path: Path) -> None:
    filled().save_pretrained(tmp_path)
    before = snapshot(tmp_path)
    for arguments in ({"variant": "../x"}, {"unknown": 1}, {"max_shard_size": "5 apples"}):
        with pytest.raises(ValueError):
            filled().save_pretrained(tmp_path, **arguments)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        filled().save_pretrained(tmp_path / "file")
    (tmp_path / "file").unlink()
    assert snapshot(tmp_path) == before


def test_a_failing_save_leaves_the_old(tmp_path: Path) -> None:
    filled().save_pretrained(tmp_path, safe_serialization=False)
    before = snapshot(tmp_path)

    def full_disk(shard: Any, path: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        filled(vocab_size=60).save_pretrained(tmp_path, safe_serialization=False, save_function=full_disk)
    assert snapshot(tmp_path) == before


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


EXPECTED: dict[int, Any] = {}


def loaded_size(folder: Path) -> int:
    """The hidden size of what loads from the folder; its values are checked."""
    model = toy.ToyForCausalLM.from_pretrained(folder)
    size: int = model.config.hidden_size
    if size not in EXPECTED:
        EXPECTED[size] = filled(hidden_size=size).state_dict()
    for name, tensor in EXPECTED[size].items():
        assert torch.equal(model.state_dict()[name], tensor), name
    return size


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
@pytest.mark.parametrize(("old", "new"), [("2KB", "2KB"), ("5GB", "2KB"), ("2KB", "5GB"), ("5GB", "5GB")])
def test_a_kill_at_any_step_leaves_old_or_new_whole(old: str, new: str, tmp_path: Path) -> None:
    import safetensors.torch

    filled().save_pretrained(tmp_path / "old", max_shard_size=old)
    seen, step = [], 0
    while True:
        step += 1
        folder = tmp_path / str(step)
        shutil.copytree(tmp_path / "old", folder)
        pid = os.fork()
        if pid == 0:  # the child
            code = 1
            try:
                remaining = [step]

                def dying(function: Any, remaining: list[int] = remaining) -> Any:
                    def call(*args: Any, **kwargs: Any) -> Any:
                        remaining[0] -= 1
                        if remaining[0] == 0:
                            os._exit(9)
                        return function(*args, **kwargs)

                    return call

                for name in ("replace", "rename", "unlink", "fsync", "mkdir", "rmdir", "chmod"):
                    setattr(os, name, dying(getattr(os, name)))
                safetensors.torch.save_file = dying(safetensors.torch.save_file)
                filled(hidden_size=18).save_pretrained(folder, max_shard_size=new)
                code = 0
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in (0, 9)
        seen.append(loaded_size(folder))
        if step % 4 == 0 or code == 0:  # the next save cleans up
            filled(hidden_size=32).save_pretrained(folder, max_shard_size=new)
            assert loaded_size(folder) == 32 and not [name for name in os.listdir(folder) if name.startswith(".")]
        if code == 0:
            break
    assert seen == sorted(seen) and set(seen) == {16, 18} and len(seen) > 10, "first the old, then the new"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals")
def test_a_real_kill_leaves_old_or_new_whole(tmp_path: Path) -> None:
    filled().save_pretrained(tmp_path, max_shard_size="2KB")
    new = filled(hidden_size=18)
    for delay in (0.003, 0.01, 0.02, 0.03, 0.05, 0.07):
        pid = os.fork()
        if pid == 0:
            while True:
                new.save_pretrained(tmp_path, max_shard_size="2KB")
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert loaded_size(tmp_path) in (16, 18)


def test_readers_without_the_journal_never_mix_old_and_new(tmp_path: Path) -> None:
    """Between the commit and the last move, a reader that looks only at the documented files finds no index."""
    filled().save_pretrained(tmp_path, max_shard_size="2KB")
    moves = []
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        moves.append((Path(target).name, (tmp_path / "model.safetensors.index.json").exists()))
        real(source, target)

    os.replace = replace
    try:
        filled(hidden_size=18).save_pretrained(tmp_path, max_shard_size="2KB")
    finally:
        os.replace = real
    shards = [(name, index) for name, index in moves if name.startswith("model-")]
    assert shards and not any(index for _, index in shards[1:])
    assert [name for name, _ in moves][-1] == "model.safetensors.index.json"


def test_a_journal_from_elsewhere_cannot_remove_files(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    (tmp_path / COMMIT).mkdir()
    (tmp_path / COMMIT / "journal.json").write_text(
        json.dumps({"order": ["../evil", "config.json"], "remove": ["precious.txt", "../../x", "config.json"]})
    )
    filled().save_pretrained(tmp_path)
    assert (tmp_path / "precious.txt").exists() and not (tmp_path / COMMIT).exists()


def test_single_files_are_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "new" / "config.json"
    write_json_atomic(target, {"b": "\u00e9", "a": 1})
    assert target.read_text("utf-8") == '{\n  "a": 1,\n  "b": "\u00e9"\n}\n'

    def fail(*args: Any) -> None:
        raise OSError("disk")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk"):
        write_atomic(target, b"half")
    assert target.read_text("utf-8").startswith("{") and os.listdir(tmp_path / "new") == ["config.json"]


def test_only_plain_names_can_be_saved(tmp_path: Path) -> None:
    for name in ("../x", "a/b", "", ".hidden", "a\0b", "c:x"):
        with pytest.raises(ValueError, match="plain file name"), saving_directory(tmp_path, is_weight_file) as saving:
            saving.path(name)
    assert os.listdir(tmp_path) == []
