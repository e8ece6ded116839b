"""Enumerations, cached properties, optional backends."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xf import utils
from xf.utils import (
    ExplicitEnum,
    PaddingStrategy,
    TensorType,
    cached_property,
    is_torch_available,
    is_vision_available,
    requires,
    requires_backends,
)
from xf.utils.import_utils import BACKENDS, is_backend_available

MISSING = "detectron2"  # a backend that is not installed here


# --- enumerations


def test_enumerations_are_texts_that_list_their_members():
    assert [member.value for member in PaddingStrategy] == ["longest", "max_length", "do_not_pad"]
    assert [member.value for member in TensorType] == ["pt", "tf", "np", "jax", "mlx"]
    assert PaddingStrategy("longest") == "longest" and isinstance(TensorType.PYTORCH, ExplicitEnum)
    with pytest.raises(ValueError, match=r"shortest is not a valid PaddingStrategy, choose one of \['longest', "):
        PaddingStrategy("shortest")


# --- cached property


def test_a_cached_property_is_computed_once_and_cannot_be_set():
    calls = []

    class Thing:
        @cached_property
        def value(self):
            calls.append(1)

    thing = Thing()
    assert thing.value is None and thing.value is None and calls == [1]
    assert isinstance(Thing.value, cached_property)
    with pytest.raises(AttributeError):
        thing.value = 3


# --- backends


def test_backends_are_found_without_being_imported():
    assert is_torch_available() and is_backend_available("numpy") and not is_backend_available(MISSING)
    assert is_vision_available() == (importlib.util.find_spec("PIL") is not None)
    assert all(callable(getattr(utils, f"is_{name}_available")) for name in BACKENDS)
    assert utils.is_torch_available("2.0") and not utils.is_torch_available("99")
    with pytest.raises(AttributeError):
        utils.is_nonsense_available


@pytest.mark.parametrize(
    "requirement, there",
    [("torch>=2.0", 1), ("torch>=99", 0), ("torch<99", 1), ("torch!=1.0", 1), ("torch==0.1", 0), ("torch>1", 1),
     ("torch<=99.9", 1), (f"{MISSING}>=1", 0)],
)  # fmt: skip
def test_versions_and_operators(requirement, there):
    assert is_backend_available(requirement) == bool(there)


@pytest.mark.parametrize("requirement", ["nonsense", "torch=>1", "torch~=2", "torch>=", "torch 2", "torch>=2 or 1", ""])
def test_what_is_no_requirement_is_an_error_at_once(requirement):
    with pytest.raises(ValueError):
        requires(backends=(requirement,))


@given(st.sampled_from(["==", "!=", ">", ">=", "<", "<="]), st.integers(0, 9), st.integers(0, 9))
def test_operators_agree_with_packaging(sign, major, minor):
    from importlib_metadata import version
    from packaging.specifiers import SpecifierSet

    installed = version("packaging")
    from xf.utils.import_utils import BACKENDS as table

    table["packaging"] = ("packaging", "packaging")
    try:
        ours = is_backend_available(f"packaging{sign}{major}.{minor}")
    finally:
        del table["packaging"]
    assert ours == SpecifierSet(f"{sign}{major}.{minor}").contains(installed, prereleases=True)


def test_what_is_required_and_there_changes_nothing():
    @requires(backends=("torch>=2.0", "numpy"))
    class Fine:
        value = 3

    assert Fine().value == 3 and getattr(Fine, "__backends") == ["torch>=2.0", "numpy"]
    with pytest.raises(TypeError, match="must be a tuple"):
        requires(backends="torch")


def test_what_is_required_and_missing_can_be_imported_and_not_used():
    @requires(backends=("torch", MISSING))
    class Needy:
        """Doc."""

        @classmethod
        def from_pretrained(cls):
            return cls()

    @requires(backends=(MISSING,))
    def function():
        return 1

    assert "Needy" in repr(Needy) and Needy.__doc__ == "Doc." and isinstance(Needy, type)
    for use in (Needy, lambda: Needy.from_pretrained(), lambda: Needy.anything, function):
        with pytest.raises(
            ImportError, match=f"requires {MISSING}, which is not installed. Run: pip install {MISSING}"
        ):
            use()
    requires_backends(Needy, ["torch"])
    with pytest.raises(ImportError, match='pip install "torch>=99"'):
        requires_backends(object(), "torch>=99")
