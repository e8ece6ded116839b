"""Documented module paths, hooks, the index of known plugins, the kernel's own names."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import pytest

import xf
from xf import _names
from xf._modules import _Folder, targets
from xf._version import VERSION
from xf.plugins import PluginError, PluginImportError, PluginNotInstalledError, hooks, known, registry

# --- names of the kernel


@pytest.mark.parametrize("name", sorted(_names.NAMES))
def test_every_name_of_the_kernel_is_where_the_table_says(name):
    assert getattr(xf, name) is getattr(importlib.import_module(_names.NAMES[name]), name)


@pytest.mark.parametrize("path", sorted({*_names.ALIASES, *_names.FOLDERS}))
def test_every_documented_path_of_the_kernel_can_be_imported(path):
    module = importlib.import_module(f"xf.{path}")
    target = _names.ALIASES.get(path)
    assert target is None or module is importlib.import_module(target)
    assert target or isinstance(module, _Folder)


def test_documented_imports():
    from xf.cache_utils import DynamicCache
    from xf.modeling_outputs import BaseModelOutput
    from xf.modeling_utils import PreTrainedModel, load_sharded_checkpoint
    from xf.models.auto import AutoModel
    from xf.models.auto.modeling_auto import AutoModelForCausalLM
    from xf.pipelines.pt_utils import KeyDataset
    from xf.tokenization_utils_base import BatchEncoding
    from xf.utils import ModelOutput, PushToHubMixin, cached_property, logging
    from xf.utils.import_utils import requires

    assert issubclass(BaseModelOutput, ModelOutput) and BatchEncoding is xf.BatchEncoding
    assert AutoModel is xf.AutoModel and AutoModelForCausalLM is xf.AutoModelForCausalLM
    assert logging is xf.logging and callable(requires) and isinstance(cached_property, type)
    assert KeyDataset([{"a": 1}], "a")[0] == 1 and DynamicCache is xf.DynamicCache
    assert PushToHubMixin is xf.PushToHubMixin and PreTrainedModel is xf.PreTrainedModel
    assert callable(load_sharded_checkpoint) and xf.utils.import_utils.requires is requires


@pytest.mark.parametrize(
    "path",
    ["nonsense", "integrations.nonsense", "models.nonsense", "models.auto.nonsense", "utils.nonsense", "outputs.x"],
)
def test_an_undocumented_path_is_not_found(path):
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"xf.{path}")
    try:
        assert importlib.util.find_spec(f"xf.{path}") is None
    except ModuleNotFoundError:  # of the parent
        pass


def test_the_version_is_that_of_the_distribution():
    from importlib_metadata import version

    assert xf.__version__ == VERSION == version("xf-kernel")


# --- paths of plugins


@pytest.fixture
def forget():
    """Take imported `xf.*` paths back."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("xf."):
            parent, _, child = name.rpartition(".")
            sys.modules.pop(name)
            if parent in sys.modules and child in vars(sys.modules[parent]):
                delattr(sys.modules[parent], child)


def test_a_plugin_provides_documented_modules(tmp_plugin, forget):
    tmp_plugin(
        "acme",
        {
            "xf.v1.module": {
                "acme_utils": "acme_impl",
                "generation.acme_part": "acme_impl",
                "data.acme_folder.leaf": "acme_impl",
            }
        },
        {"acme_impl.py": "def tool(): return __name__\n"},
    )
    import xf.acme_utils
    from xf.acme_utils import tool
    from xf.data.acme_folder.leaf import tool as third
    from xf.generation.acme_part import tool as second

    assert tool is second is third and tool() == "acme_impl" and xf.acme_utils is sys.modules["acme_impl"]


def test_a_package_behind_a_path_is_not_imported_a_second_time(tmp_plugin, forget):
    tmp_plugin(
        "acme",
        {"xf.v1.module": {"acme_lib": "acme_pack"}},
        {"acme_pack/__init__.py": "from .part import Thing\n", "acme_pack/part.py": "class Thing: pass\n"},
    )
    import acme_pack.part

    from xf.acme_lib import Thing
    from xf.acme_lib.part import Thing as again

    assert Thing is again is acme_pack.part.Thing
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("xf.acme_lib.nonsense")


def test_the_files_of_a_models_folder(tmp_plugin, forget):
    tmp_plugin(
        "acme",
        {
            "xf.v1.config": {"acme-net": "acme_net.conf:AcmeConfig"},
            "xf.v1.model.base": {"acme-net": "acme_net.model:AcmeModel"},
            "xf.v1.model.causal_lm": {"acme-net": "acme_net.heads:AcmeForCausalLM"},
            "xf.v1.tokenizer": {"acme-net": "acme_net.tok:AcmeTokenizer"},
        },
        {
            "acme_net/__init__.py": "",
            "acme_net/conf.py": "class AcmeConfig: pass\n",
            "acme_net/model.py": "class AcmeModel: pass\nclass AcmeLayer: pass\n",
            "acme_net/heads.py": "class AcmeForCausalLM: pass\n",
            "acme_net/tok.py": "class AcmeTokenizer: pass\n",
        },
    )
    from xf.models.acme_net import AcmeModel
    from xf.models.acme_net.configuration_acme_net import AcmeConfig
    from xf.models.acme_net.modeling_acme_net import AcmeForCausalLM, AcmeLayer
    from xf.models.acme_net.modeling_acme_net import AcmeModel as same
    from xf.models.acme_net.tokenization_acme_net import AcmeTokenizer

    assert AcmeModel is same and AcmeLayer and AcmeForCausalLM and AcmeConfig and AcmeTokenizer
    for name in ("AcmeModel", "AcmeForCausalLM"):
        vars(xf).pop(name, None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("xf.models.acme_net.nonsense")


def test_a_known_path_that_is_not_installed_says_what_to_install(monkeypatch, no_plugins):
    table = {"xf-acme": {"module": {"acme_missing": "", "integrations.acme": ""}, "config": {"acme": "AcmeConfig"}}}
    monkeypatch.setattr(known, "table", lambda: table)
    for path in ("acme_missing", "integrations.acme", "models.acme.modeling_acme"):
        with pytest.raises(PluginNotInstalledError, match="pip install xf-acme"):
            importlib.import_module(f"xf.{path}")


def test_the_finder_is_asked_for_our_names_only():
    assert sum(getattr(finder, "__module__", "") == "xf._modules" for finder in sys.meta_path) == 1
    assert targets("modeling_outputs") == ["xf.outputs"] and targets("no.such") is None


# --- known plugins


def test_the_index_of_known_plugins_answers_by_name_attribute_and_distribution(monkeypatch):
    table = {
        "xf-plugin-a": {"config": {"a": "AConfig"}, "attention": {"fast": "FAST"}},
        "xf-plugin-b": {"config": {"b": "BConfig"}, "symbol": {"Alias": "Real"}, "module": {"some.path": ""}},
    }
    monkeypatch.setattr(known, "table", lambda: table)
    assert known.owners("config", "b") == ["xf-plugin-b"] and known.owners("attention", "fast") == ["xf-plugin-a"]
    assert known.attribute_owners("Alias") == known.attribute_owners("Real") == ["xf-plugin-b"]
    assert known.distributions_of("xf-plugin-a") == known.distributions_of("fast") == ["xf-plugin-a"]
    assert known.attributes() == ["AConfig", "BConfig", "FAST", "Real"] and "some.path" in known.names()
    assert known.install_line(["x", "y"]) == "pip install x or pip install y"


# --- hooks


@pytest.fixture
def fresh_hooks(monkeypatch):
    monkeypatch.setattr(hooks, "_manager", None)
    monkeypatch.setattr(hooks, "_loaded", {})


HOOKS = """
from xf.plugins.hooks import hookimpl
seen = []
@hookimpl
def xf_after_load(model, report): seen.append((model, report))
@hookimpl
def xf_resolve_checkpoint(name): return "/somewhere" if name == "acme://x" else None
"""


def test_hooks_of_plugins_are_called_and_nothing_is_loaded_before_a_call(tmp_plugin, fresh_hooks, no_plugins):
    assert hooks.hooks().xf_after_load(model=1, report=2) == [] and hooks._manager is None
    assert hooks.hooks().xf_resolve_checkpoint(name="x", revision=None) is None
    tmp_plugin("acme", {"xf.v1.hooks": {"acme": "acme_hooks"}}, {"acme_hooks.py": HOOKS})
    assert "acme_hooks" not in sys.modules
    hooks.hooks().xf_after_load(model="m", report="r")
    assert sys.modules["acme_hooks"].seen == [("m", "r")]
    assert hooks.hooks().xf_resolve_checkpoint(name="acme://x", revision=None) == "/somewhere"
    with pytest.raises(AttributeError):
        hooks.hooks().xf_no_such_hook()


def test_a_hook_resolves_checkpoints_that_nobody_else_does(tmp_plugin, fresh_hooks, no_plugins, tmp_path):
    from xf.checkpoint import resolve

    source = HOOKS.replace("/somewhere", str(tmp_path))
    tmp_plugin("acme", {"xf.v1.hooks": {"acme": "acme_resolves"}}, {"acme_resolves.py": source})
    found = resolve("acme://x")
    assert found.origin == "hook" and found.path("nothing") is None
    with pytest.raises(ValueError, match="acme://y"):
        resolve("acme://y")


@pytest.mark.parametrize(
    "source, message",
    [
        (HOOKS + "@hookimpl\ndef xf_before_load(wrong): pass\n", "wrong"),
        (HOOKS + "@hookimpl\ndef xf_after_lod(model): pass\n", "there is no hook xf_after_lod"),
        ("1/0", "ZeroDivisionError"),
    ],
)
def test_a_hook_that_does_not_fit_leaves_nothing_registered(
    tmp_plugin, fresh_hooks, no_plugins, monkeypatch, source, message
):
    tmp_plugin(
        "acme",
        {"xf.v1.hooks": {"bad": "acme_bad", "good": "acme_good"}},
        {"acme_bad.py": source, "acme_good.py": HOOKS},
    )
    assert hooks.hooks().xf_after_load(model=1, report=2) == [] and len(sys.modules["acme_good"].seen) == 1
    assert message in hooks._loaded["bad"]
    if "acme_bad" in sys.modules:
        assert sys.modules["acme_bad"].seen == []
    monkeypatch.setattr(hooks, "_manager", None)
    monkeypatch.setattr(hooks, "_loaded", {})
    monkeypatch.setenv("XF_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=message):
        hooks.hooks()


def test_objects_and_classes_can_be_registered_and_taken_back(fresh_hooks, no_plugins):
    class Plugin:
        @hooks.hookimpl(tryfirst=True)
        def xf_resolve_checkpoint(self, name):
            return "first"

    hooks.register(Plugin, "mine")
    assert hooks.hooks().xf_resolve_checkpoint(name="x", revision=None) == "first"
    hooks.unregister("mine")
    assert hooks.hooks().xf_resolve_checkpoint(name="x", revision=None) is None
    with pytest.raises(PluginImportError):
        hooks.register(type("Bad", (), {"xf_before_load": hooks.hookimpl(lambda self, x: None)}), "bad")


def test_a_hook_sees_which_attention_a_model_got(fresh_hooks, no_plugins):
    from xf import PretrainedConfig, PreTrainedModel

    seen = []

    class Plugin:
        @hooks.hookimpl
        def xf_dispatch_chosen(self, model, what, name):
            seen.append((type(model).__name__, what, name))

    hooks.register(Plugin, "mine")
    model = type("Small", (PreTrainedModel,), {"config_class": PretrainedConfig})(PretrainedConfig())
    model.set_attn_implementation("eager")
    assert seen == [("Small", "attention", "sdpa"), ("Small", "attention", "eager")]


def test_names_of_the_kernel_are_entry_points_like_any_other():
    assert {"eager", "sdpa"} <= set(registry("attention").names())
    assert registry("callback").get("early_stopping") is xf.EarlyStoppingCallback
