"""Docstring decorators and lazy packages, through the names of `xf.utils`."""

from __future__ import annotations

import importlib.util
import pickle
import sys

import pytest

from xf.utils import (
    _LazyModule,
    add_code_sample_docstrings,
    add_end_docstrings,
    add_start_docstrings,
    add_start_docstrings_to_model_forward,
    replace_return_docstrings,
)
from xf.utils.import_utils import define_import_structure

MISSING = "detectron2"  # a backend that is not installed here


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


# --- lazy packages

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
    assert pickle.loads(pickle.dumps(module)) is module


def test_a_lazy_module_takes_a_plain_table_too(package):
    module = _LazyModule("lazypack", str(package / "__init__.py"), {"sub.deep": ["Deep"], "plain": []})
    sys.modules["lazypack"] = module
    assert module.Deep.__name__ == "Deep" and module.plain.Hidden
