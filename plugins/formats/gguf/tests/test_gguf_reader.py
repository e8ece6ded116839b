"""The reader takes sound files and refuses all others with an error that names the file and the place."""

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xf_plugin_format_gguf.reader import GGUFError, GGUFFile, open_parts

sys.path.insert(0, str(Path(__file__).parent))
from gguf_writer import VECTOR, build, small, tensor_info, text


def write(folder, data, name="model.gguf"):
    path = folder / name
    path.write_bytes(data)
    return path


def test_a_sound_file(tmp_path):
    metadata = {
        "general.architecture": ("str", "llama"),
        "numbers": ("[f32]", [0.5, -1.0]),
        "words": ("[str]", ["one", "zwei", ""]),
        "yes": ("bool", 1),
    }
    file = GGUFFile(write(tmp_path, small(metadata=metadata)))
    assert file.metadata["general.architecture"] == "llama" and file.metadata["yes"] is True
    assert list(file.metadata["numbers"]) == [0.5, -1.0] and file.metadata["words"].tolist() == ["one", "zwei", ""]
    assert file.tensors["a"].shape == (8,) and file.tensors["a"].size == 32


def test_version_2_is_read(tmp_path):
    assert GGUFFile(write(tmp_path, small(version=2))).version == 2


def test_shapes_are_in_torchs_order(tmp_path):
    data = small(infos=[tensor_info("a", [4, 2])])
    assert GGUFFile(write(tmp_path, data)).tensors["a"].shape == (2, 4)


def test_a_view_of_the_file_never_changes_it(tmp_path):
    path = write(tmp_path, small())
    before = path.read_bytes()
    file = GGUFFile(path)
    file.data[-32:] = b"\xff" * 32
    assert path.read_bytes() == before


HUGE = 1 << 62
HOSTILE = {
    "empty": (b"", "0 bytes long"),
    "another kind of file": (b"PK\x03\x04" + b"\0" * 60, "no GGUF file"),
    "version 1": (small(version=1), "version 1 is not supported"),
    "a version of the future": (small(version=9), "version 9 is not supported"),
    "big-endian": (small(version=0x03000000), "big-endian"),
    "more tensors than fit": (small(tensors=HUGE), "more than fit"),
    "more keys than fit": (small(keys=HUGE), "more than fit"),
    "a key that is there twice": (
        build({"general.architecture": ("str", "x"), "b": ("u32", 1)}).replace(text("b"), text("general.architecture")),
        "there twice",
    ),
    "a key beyond the end": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", HUGE) + b"\0" * 40,
        "beyond the end",
    ),
    "an empty key": (small(metadata={"": ("u32", 1)}), "a key of 0 bytes"),
    "a key that is not UTF-8": (small(metadata={b"\xff\xfe": ("u32", 1)}), "not UTF-8"),
    "a text beyond the end": (small(metadata={"k": ("raw", struct.pack("<IQ", 8, HUGE))}), "beyond the end"),
    "an array beyond the end": (small(metadata={"k": ("raw", struct.pack("<IIQ", 9, 6, HUGE))}), "beyond the end"),
    "an array of texts beyond the end": (
        small(metadata={"k": ("raw", struct.pack("<IIQ", 9, 8, HUGE))}),
        "beyond the end",
    ),
    "a text of an array beyond the end": (
        small(metadata={"k": ("raw", struct.pack("<IIQQ", 9, 8, 1, HUGE))}),
        "beyond the end",
    ),
    "arrays nested without end": (
        small(metadata={"k": ("raw", struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 40)}),
        "nested more than",
    ),
    "an unknown value type": (small(metadata={"k": ("raw", struct.pack("<I", 77))}), "77 is no type"),
    "an unknown array type": (small(metadata={"k": ("raw", struct.pack("<IIQ", 9, 77, 0))}), "77 is no type"),
    "a bool of 2": (small(metadata={"k": ("bool", 2)}), "2 is no bool"),
    "an alignment that is no power of two": (small(metadata={"general.alignment": ("u32", 24)}), "power of two"),
    "an alignment of 0": (small(metadata={"general.alignment": ("u32", 0)}), "power of two"),
    "an alignment that is a text": (small(metadata={"general.alignment": ("str", "32")}), "power of two"),
    "a tensor without dimensions": (small(infos=[tensor_info("a", [])]), "0 dimensions"),
    "a tensor of five dimensions": (small(infos=[tensor_info("a", [1] * 5)]), "5 dimensions"),
    "a tensor without a name": (small(infos=[tensor_info("", [8])]), "name of 0 bytes"),
    "a size of 0": (small(infos=[tensor_info("a", [8, 0])]), "sizes"),
    "sizes whose product overflows": (small(infos=[tensor_info("a", [1 << 40] * 4)]), "beyond the end"),
    "an unknown tensor type": (small(infos=[tensor_info("a", [8], kind=99)]), "type 99, which is not known"),
    "a removed tensor type": (small(infos=[tensor_info("a", [32], kind=4)]), "Q4_2 was removed"),
    "a row that is no whole number of blocks": (small(infos=[tensor_info("a", [8], kind=2)]), "multiples of 32"),
    "an offset that is not aligned": (small(infos=[tensor_info("a", [4], offset=8)]), "multiple of the alignment"),
    "an offset beyond the end": (small(infos=[tensor_info("a", [8], offset=1 << 50)]), "cut off"),
    "overlapping tensors": (small(infos=[tensor_info("a", [8]), tensor_info("b", [8])]), "overlap"),
    "a tensor that is there twice": (
        small(infos=[tensor_info("a", [8]), tensor_info("a", [8], offset=32)], data=VECTOR * 2),
        "there twice",
    ),
    "data that was cut off": (small()[:-1], "1 bytes beyond the end: the file was cut off"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path, name):
    data, message = HOSTILE[name]
    path = write(tmp_path, data)
    with pytest.raises(GGUFError, match=message) as caught:
        GGUFFile(path)
    assert str(path) in str(caught.value), "the error must name the file"


def test_cut_off_anywhere_it_is_refused(tmp_path):
    whole = small(metadata={"general.architecture": ("str", "llama"), "words": ("[str]", ["one", "two"])})
    for length in range(len(whole)):
        with pytest.raises(GGUFError):
            GGUFFile(write(tmp_path, whole[:length]))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_anywhere_it_is_read_or_refused(tmp_path, changes):
    data = bytearray(small(metadata={"general.architecture": ("str", "llama"), "words": ("[str]", ["one", "two"])}))
    for place, byte in changes:
        data[place % len(data)] = byte
    try:
        file = GGUFFile(write(tmp_path, bytes(data)))
        for found in file.metadata.values():
            list(found) if hasattr(found, "tolist") else found
    except GGUFError:
        return
    for info in file.tensors.values():
        assert 0 <= info.start and info.start + info.size <= len(data)


def part(number, count, name):
    metadata = {
        "general.architecture": ("str", "llama"),
        "split.no": ("u32", number),
        "split.count": ("u32", count),
        "split.tensors.count": ("i32", 2),
    }
    return small(metadata=metadata, infos=[tensor_info(name, [8])])


def test_a_model_in_parts_is_read_whole(tmp_path):
    first = write(tmp_path, part(0, 2, "a"), "m-00001-of-00002.gguf")
    write(tmp_path, part(1, 2, "b"), "m-00002-of-00002.gguf")
    assert [name for p in open_parts(first) for name in p.tensors] == ["a", "b"]


def test_a_missing_part_is_named(tmp_path):
    first = write(tmp_path, part(0, 2, "a"), "m-00001-of-00002.gguf")
    with pytest.raises(GGUFError, match="m-00002-of-00002.gguf is not beside it"):
        open_parts(first)


def test_a_later_part_alone_is_refused(tmp_path):
    with pytest.raises(GGUFError, match="give the first one"):
        open_parts(write(tmp_path, part(1, 2, "b"), "m-00002-of-00002.gguf"))


def test_parts_that_do_not_belong_together_are_refused(tmp_path):
    first = write(tmp_path, part(0, 2, "a"), "m-00001-of-00002.gguf")
    write(tmp_path, part(1, 2, "a"), "m-00002-of-00002.gguf")
    with pytest.raises(GGUFError, match="each once"):
        open_parts(first)
