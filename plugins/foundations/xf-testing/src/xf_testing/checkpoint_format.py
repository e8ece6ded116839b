"""What every checkpoint format must do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from .base import Conformance


class CheckpointFormatConformance(Conformance):
    """Subclass, set `name` (of the entry point), and write a small file of the format in `write_file`."""

    contract: ClassVar[str] = "checkpoint_format"
    name: ClassVar[str] = ""

    def make_format(self) -> Any:
        from xf.plugins import registry

        target = registry("checkpoint_format").get(self.name)
        return target() if isinstance(target, type) else target

    def write_file(self, folder: Path) -> Path:
        """Write a sound file into `folder` and return its path."""
        raise NotImplementedError(f"write a CheckpointFormatConformance for {self.name} with write_file")

    def test_it_recognises_its_file(self, tmp_path: Path) -> None:
        from xf.checkpoint import resolve

        path = self.write_file(tmp_path)
        assert self.make_format().detects(resolve(str(tmp_path)), {f"{self.name}_file": path.name}) == path.name

    def test_an_empty_folder_is_not_its_own(self, tmp_path: Path) -> None:
        from xf.checkpoint import resolve

        (tmp_path / "README.md").write_text("nothing")
        assert self.make_format().detects(resolve(str(tmp_path)), {}) is None

    def test_tensors_are_as_announced(self, tmp_path: Path) -> None:
        from xf.checkpoint.formats import TensorSource

        source = self.make_format().open(self.write_file(tmp_path))
        assert isinstance(source, TensorSource)
        names = list(source.names())
        assert names and len(set(names)) == len(names)
        for name in names:
            tensor = source.get(name)
            assert tuple(tensor.shape) == tuple(source.shape(name)) and tensor.dtype == source.dtype(name)

    def test_an_unknown_name_is_a_key_error(self, tmp_path: Path) -> None:
        source = self.make_format().open(self.write_file(tmp_path))
        with pytest.raises(KeyError):
            source.shape("no.such.tensor")

    def test_writing_to_a_tensor_never_changes_the_file(self, tmp_path: Path) -> None:
        path = self.write_file(tmp_path)
        before, source = path.read_bytes(), self.make_format().open(path)
        for name in source.names():
            source.get(name).zero_()
        assert path.read_bytes() == before

    def test_a_file_that_was_cut_off_is_refused(self, tmp_path: Path) -> None:
        path = self.write_file(tmp_path)
        data = path.read_bytes()
        for length in sorted({0, 1, len(data) // 4, len(data) // 2, len(data) - 1}):
            path.write_bytes(data[:length])
            with pytest.raises(ValueError, match=path.name):
                self.make_format().open(path)

    def test_another_kind_of_file_is_refused(self, tmp_path: Path) -> None:
        path = self.write_file(tmp_path)
        path.write_bytes(b"this is no such file" * 100)
        with pytest.raises(ValueError, match=path.name):
            self.make_format().open(path)
