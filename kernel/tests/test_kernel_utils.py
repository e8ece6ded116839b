"""Enumerations, docstring decorators, cached properties, optional backends, lazy modules."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xf import utils
from xf.utils import (
    ExplicitEnum,
    PaddingStrategy,
    TensorType,
    _LazyModule,
    add_code_sample_docstrings,
    add_end_docstrings,
    add_start_docstrings,
    add_start_docstrings_to_model_forward,
    cached_property,
    define_import_structure,
    is_torch_available,
    is_vision_available,
    replace_return_docstrings,
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


# --- docstrings


def test_docstrings_are_put_together():
    @add_start_docstrings("Start. ", "More. ")
    @add_end_docstrings(" End.")
    class Model:
        """Middle."""

        @add_start_docstrings_to_model_forward("INPUTS\n")
        def forward(self):
            """Runs."""

    assert Model.__doc__ == "Start. More. Middle. End."
    assert "[`" in Model.forward.__doc__ and Model.forward.__doc__.endswith("INPUTS\nRuns.")

    @add_end_docstrings("only")
    def bare(): ...

    assert bare.__doc__ == "only"


class Output:
    """An output.

    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*):
            The loss,
            when labels are given.
        logits (`torch.FloatTensor`): The scores.
    """


def test_what_is_returned_is_described_from_the_output_class():
    @replace_return_docstrings(output_type=Output, config_class="BertConfig")
    def forward(self):
        """Runs.

        Returns:

        Example: none
        """

    text = forward.__doc__
    assert "[`BertConfig`]" in text and f"{Output.__module__}.Output" in text
    assert "- **loss** (`torch.FloatTensor` of shape `(1,)`, *optional*) -- The loss," in text.replace(
        "-- The", "-- The"
    )
    assert "when labels are given." in text and "- **logits** (`torch.FloatTensor`) -- The scores." in text
    assert text.index("Returns:") < text.index("**loss**") < text.index("Example: none")
    with pytest.raises(ValueError, match="needs an empty line 'Returns:'"):
        replace_return_docstrings(output_type=Output)(lambda: None)


@pytest.mark.parametrize(
    "head", ["Model", "ForMaskedLM", "ForSequenceClassification", "ForCausalLM", "ForQuestionAnswering"]
)
def test_code_samples_name_the_class_and_the_checkpoint(head):
    def forward(self):
        """Runs."""

    forward.__qualname__ = f"Acme{head}.forward"
    sample = add_code_sample_docstrings(
        checkpoint="acme/base", output_type=Output, config_class="AcmeConfig", processor_class="AcmeTokenizer",
        expected_output="['x']", expected_loss=0.5,
    )  # fmt: skip
    text = sample(forward).__doc__
    code = [line.strip()[4:] for line in text.splitlines() if line.strip().startswith(">>> ")]
    assert code[0] == f"from xf import AcmeTokenizer, Acme{head}" and "'acme/base'" in text and "['x']" in text
    compile("\n".join(code), "sample", "exec")


def test_a_head_without_a_sample_is_an_error():
    with pytest.raises(ValueError, match="No code sample for Strange"):
        add_code_sample_docstrings(checkpoint="x", model_cls="Strange")(lambda: None)


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


FILES = {
    "__init__.py": "",
    "modeling_foo.py": (
        "from xf.utils import requires\n__all__ = ['FooModel', 'CONSTANT']\nCONSTANT = 3\nclass FooModel: pass\n"
        "@requires(backends=('torch>=2.6', 'accelerate'))\nclass Decorated: pass\n"
        "@requires(backends=('vision',))\ndef decorated(x): pass\n"
    ),
    "tokenization_foo_fast.py": "__all__ = ['FooFast']\nclass FooFast: pass\n",
    "image_processing_foo.py": "__all__ = ['FooImage']\nclass FooImage: pass\n",
    "image_processing_foo_fast.py": "__all__ = ['FooImageFast']\nclass FooImageFast: pass\n",
    "modeling_tf_foo.py": "__all__ = ['TFFoo']\nclass TFFoo: pass\n",
    "plain.py": (
        "from xf.utils import requires\n@requires()\nclass Plain: pass\n"
        "@requires(\n    backends=(\n        'torch',\n        'tokenizers',\n    )\n)\nclass Multi: pass\n"
        "class Hidden: pass\n"
        f"@requires(backends=('{MISSING}',))\nclass Absent: pass\n"
    ),
    "sub/__init__.py": "",
    "sub/deep.py": "__all__ = ['Deep']\nclass Deep: pass\n",
}  # fmt: skip


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "lazypack"
    for name, source in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "lazypack"]:
        del sys.modules[name]


def test_the_import_structure_is_read_from_the_source(package):
    expected = {
        frozenset(): {"plain": {"Plain"}, "sub.deep": {"Deep"}},
        frozenset({"torch"}): {"modeling_foo": {"FooModel", "CONSTANT"}},
        frozenset({"torch", "torch>=2.6", "accelerate"}): {"modeling_foo": {"Decorated"}},
        frozenset({"torch", "vision"}): {"modeling_foo": {"decorated"}},
        frozenset({"tokenizers"}): {"tokenization_foo_fast": {"FooFast"}},
        frozenset({"vision"}): {"image_processing_foo": {"FooImage"}},
        frozenset({"vision", "torch", "torchvision"}): {"image_processing_foo_fast": {"FooImageFast"}},
        frozenset({"tf"}): {"modeling_tf_foo": {"TFFoo"}},
        frozenset({"torch", "tokenizers"}): {"plain": {"Multi"}},
        frozenset({MISSING}): {"plain": {"Absent"}},
    }
    assert define_import_structure(str(package)) == expected
    assert define_import_structure(str(package / "plain.py")) == expected
    prefixed = define_import_structure(str(package), prefix="models.foo")
    assert prefixed[frozenset()] == {"models.foo.plain": {"Plain"}, "models.foo.sub.deep": {"Deep"}}
    assert not any(name.startswith("lazypack") for name in sys.modules)


def test_a_lazy_module_imports_what_is_asked_for(package):
    structure = define_import_structure(str(package))
    spec = importlib.util.spec_from_file_location("lazypack", package / "__init__.py")
    module = _LazyModule(
        "lazypack", str(package / "__init__.py"), structure, module_spec=spec, extra_objects={"EXTRA": 5}
    )
    sys.modules["lazypack"] = module
    assert {"FooModel", "Deep", "Absent", "plain"} <= set(dir(module))
    assert module.Plain.__name__ == "Plain" and "lazypack.modeling_foo" not in sys.modules
    assert module.CONSTANT == 3 and module.EXTRA == 5 and module.plain.Plain is module.Plain
    with pytest.raises(ImportError, match=MISSING):
        module.Absent()
    with pytest.raises(AttributeError):
        module.Nonsense
    import pickle

    assert pickle.loads(pickle.dumps(module)) is module


def test_a_lazy_module_takes_a_plain_table_too(package):
    module = _LazyModule("lazypack", str(package / "__init__.py"), {"sub.deep": ["Deep"], "plain": []})
    sys.modules["lazypack"] = module
    assert module.Deep.__name__ == "Deep" and module.plain.Hidden
