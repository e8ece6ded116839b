"""What every source of checkpoints must do."""

from __future__ import annotations

from typing import ClassVar

import pytest

from .base import Conformance
from .network import no_network


class CheckpointSourceConformance(Conformance):
    """Subclass, set `name` (of the entry point) and `checkpoint` (a name it serves, with at least one file).

    unknown: a name of its kind that it does not have. outside: one that tries to leave where its checkpoints lie, ""
    where names are no paths. is_local: it opens no connection.
    """

    contract: ClassVar[str] = "checkpoint_source"
    name: ClassVar[str] = ""
    checkpoint: ClassVar[str] = ""
    unknown: ClassVar[str] = ""
    outside: ClassVar[str] = ""
    is_local: ClassVar[bool] = True

    def test_it_serves_its_checkpoint(self) -> None:
        from xf.checkpoint import resolve

        found = resolve(self.checkpoint)
        names = found.list()
        assert names and all(found.path(name) is not None for name in names)
        assert found.name == self.checkpoint

    def test_an_unknown_name_is_an_error_that_names_it(self) -> None:
        from xf.checkpoint import resolve

        with pytest.raises(ValueError) as caught:
            resolve(self.unknown)
        assert self.unknown.partition("://")[2].strip("/").split("/")[0] in str(caught.value)

    def test_names_stay_inside(self) -> None:
        from xf.checkpoint import resolve

        if not self.outside:
            self.not_claimed("names that are paths")
        with pytest.raises(ValueError):
            resolve(self.outside)

    def test_files_stay_inside(self) -> None:
        from xf.checkpoint import resolve

        with pytest.raises(ValueError):
            resolve(self.checkpoint).path("../config.json")

    def test_no_socket_is_opened(self) -> None:
        from xf.checkpoint import resolve

        if not self.is_local:
            self.not_claimed("is_local")
        with no_network():
            resolve(self.checkpoint).list()
