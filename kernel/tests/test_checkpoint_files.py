"""Weight files: safetensors headers are checked before use, indexes name plain files, pickles run nothing."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from xf.checkpoint import CheckpointError, resolve
from xf.checkpoint.read import open_weights, read_pickle
from xf.checkpoint.safetensors_file import DTYPES, SafetensorsFile

TENSORS = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.tensor(7), "empty": torch.zeros(0, 3)}
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pack(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_a_good_file_reads_as_it_was_written(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x.safetensors", metadata={"format": "pt"})
    opened = SafetensorsFile(tmp_path / "x.safetensors")
    assert set(opened.names()) == set(TENSORS) and opened.metadata == {"format": "pt"}
    for name, tensor in TENSORS.items():
        assert opened.shape(name) == tuple(tensor.shape) and opened.dtype(name) == tensor.dtype
        assert torch.equal(opened.get(name), tensor)


@pytest.mark.parametrize("code", sorted(DTYPES))
def test_every_dtype_of_the_format_is_read(code: str, tmp_path: Path) -> None:
    tensor = torch.tensor([1, 0]).to(torch.float32).to(DTYPES[code])
    save_file({"x": tensor}, tmp_path / "x.safetensors")
    found = SafetensorsFile(tmp_path / "x.safetensors").get("x")
    assert found.dtype == tensor.dtype and torch.equal(found.view(torch.uint8), tensor.view(torch.uint8))


def test_writing_to_a_loaded_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x.safetensors")
    before = (tmp_path / "x.safetensors").read_bytes()
    SafetensorsFile(tmp_path / "x.safetensors").get("a.weight").zero_()
    assert (tmp_path / "x.safetensors").read_bytes() == before


def test_unaligned_data_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(pack(json.dumps({"x": entry()}).encode() + b" ", b"\0\0\x80?\0\0\0@"))
    assert SafetensorsFile(tmp_path / "x.safetensors").get("x").tolist() == [1.0, 2.0]


BROKEN = {
    "empty file": b"",
    "header cut": pack({"x": entry()}, b"12345678")[:20],
    "header longer than the file": pack({}, length=10**6),
    "header of exabytes": pack({}, length=2**63),
    "no JSON": pack(b"{not json"),
    "deep JSON": pack(b"[" * 100_000),
    "a list": pack([1]),
    "name twice": pack(
        b'{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"1",
    ),
    "no offsets": pack({"x": {"dtype": "F32", "shape": [2]}}, b"12345678"),
    "unknown dtype": pack({"x": entry("F99")}, b"12345678"),
    "data cut": pack({"x": entry()}, b"1234567"),
    "data too long": pack({"x": entry()}, b"123456789"),
    "negative shape": pack({"x": entry(shape=[-2])}, b"12345678"),
    "negative offset": pack({"x": entry(offsets=[-8, 0])}, b"12345678"),
    "offsets backwards": pack({"x": entry(offsets=[8, 0])}, b"12345678"),
    "shape too big": pack({"x": entry(shape=[2**40, 2**40])}, b"12345678"),
    "shape of booleans": pack({"x": entry(shape=[True, 2])}, b"12345678"),
    "shape of floats": pack({"x": entry(shape=[2.0])}, b"12345678"),
    "overlap": pack({"x": entry(), "y": entry(offsets=[4, 12])}, b"123456789012"),
    "same place twice": pack({"x": entry(), "y": entry()}, b"12345678"),
    "hole": pack({"x": entry(), "y": entry(offsets=[12, 20])}, b"12345678901234567890"),
    "metadata of numbers": pack({"__metadata__": {"a": 1}, "x": entry()}, b"12345678"),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_file_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(BROKEN[kind])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        SafetensorsFile(path)


NUMBERS = st.integers(-4, 40) | st.integers(-(2**70), 2**70)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "U8", "BF16", "X", 3]),
        "shape": st.lists(NUMBERS, max_size=3),
        "data_offsets": st.lists(NUMBERS, min_size=1, max_size=3),
    }
)


@FUZZ
@given(header=st.dictionaries(st.text(max_size=5), ENTRIES | st.none(), max_size=4), data=st.binary(max_size=40))
def test_what_is_accepted_is_whole(header: Any, data: bytes, tmp_path: Path) -> None:
    """A header made up at random is refused, or every tensor lies inside the file and has its shape."""
    (tmp_path / "x.safetensors").write_bytes(pack(header, data))
    try:
        opened = SafetensorsFile(tmp_path / "x.safetensors")
    except CheckpointError:
        return
    tensors = [opened.get(name) for name in opened.names()]
    assert sum(tensor.nbytes for tensor in tensors) == len(data)


@FUZZ
@given(data=st.data())
def test_a_damaged_file_never_reads_beyond_itself(data: st.DataObject, tmp_path: Path) -> None:
    """Bytes changed, cut off or added anywhere: refused, or read as a whole file of the new content."""
    save_file(TENSORS, tmp_path / "good.safetensors")
    content = bytearray((tmp_path / "good.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] + data.draw(st.binary(max_size=3))
    (tmp_path / "x.safetensors").write_bytes(content)
    try:
        opened = SafetensorsFile(tmp_path / "x.safetensors")
    except CheckpointError:
        return
    for name in opened.names():
        assert tuple(opened.get(name).shape) == opened.shape(name)


def index_of(folder: Path, index: Any) -> Any:
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return open_weights(resolve(folder), {})


@pytest.mark.parametrize(
    "shard",
    ["../x.safetensors", "/etc/passwd", "sub/x.safetensors", "..", "", "x\0.safetensors", "a\\b.safetensors", 3, None,
     "C:x.safetensors", ".hidden.safetensors", "pytorch_model.bin"],
)  # fmt: skip
def test_an_index_cannot_point_outside_its_folder(shard: Any, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    save_file(TENSORS, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="which is no .safetensors file beside it"):
        index_of(tmp_path / "inner", {"weight_map": {"a.weight": shard}})


def test_an_index_must_be_true(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x.safetensors")
    for index, message in (
        ({"weight_map": {"a.weight": "y.safetensors"}}, "not there"),
        ({"weight_map": {"c.weight": "x.safetensors"}}, "do not hold"),
        ({"weight_map": {}}, "no weight_map"),
        ({"weight_map": ["a"]}, "no weight_map"),
        ({}, "no weight_map"),
        ([], "JSON list"),
    ):
        with pytest.raises(CheckpointError, match=message):
            index_of(tmp_path, index)
    source = index_of(tmp_path, {"weight_map": {"a.weight": "x.safetensors"}}).source
    assert set(source.names()) == set(TENSORS), "tensors that the index forgot are not lost"


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["XF_TEST_EVIL"],)


def test_a_pickle_with_code_is_refused_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XF_TEST_EVIL", str(tmp_path / "was_run"))
    torch.save({"a": torch.ones(2), "b": Evil()}, tmp_path / "zip.bin")
    torch.save({"a": torch.ones(2), "b": Evil()}, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Evil()))
    for name in ("zip.bin", "old.bin", "plain.bin"):
        with pytest.raises(CheckpointError, match="refused"):
            read_pickle(tmp_path / name)
    assert not (tmp_path / "was_run").exists()


def test_pickles_of_tensors_are_read_old_and_new(tmp_path: Path) -> None:
    for new in (True, False):
        torch.save({"a": torch.arange(3.0), "note": "text"}, tmp_path / "x.bin", _use_new_zipfile_serialization=new)
        assert read_pickle(tmp_path / "x.bin")["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04garbage", pickle.dumps([1, 2]), pickle.dumps({"a": 1})])
def test_what_is_no_weight_file_is_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.bin"):
        read_pickle(tmp_path / "x.bin")


def test_safetensors_come_before_pickles_and_variants_are_found(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "model.fp16.safetensors")
    torch.save({"a": torch.full((1,), 2.0)}, tmp_path / "pytorch_model.bin")

    def value(**options: Any) -> float:
        return open_weights(resolve(tmp_path), options).source.get("a").item()

    assert (value(), value(variant="fp16"), value(use_safetensors=False)) == (0, 1, 2)
    with pytest.raises(CheckpointError, match=r"no model\.bf16\.safetensors.*It holds: model\.fp16"):
        value(variant="bf16")
    with pytest.raises(CheckpointError, match="not a part of a file name"):
        value(variant="../x")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"use_safetensors=True"):
        value(use_safetensors=True)
