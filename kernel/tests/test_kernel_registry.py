"""Registries and policy: who provides a name, who may, and the errors that never stand for one another."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xf.plugins import (
    PluginConflictError,
    PluginDisabledError,
    PluginError,
    PluginImportError,
    PluginIncompatibleError,
    PluginNotInstalledError,
    find_attribute,
    groups,
    index,
    known,
    registry,
    set_policy,
)
from xf.plugins.index import Record
from xf.plugins.policy import Policy, _parse_plain, policy
from xf.plugins.registry import choose, load, tolerate

THING = "class Thing:\n    where = __name__\n"
ERRORS = (PluginNotInstalledError, PluginImportError, PluginDisabledError, PluginIncompatibleError, PluginConflictError)


@pytest.fixture(autouse=True)
def no_lists(tmp_path, monkeypatch, no_plugins):
    """No list of the machine that runs the tests, no plugin but those of the test."""
    monkeypatch.setenv("XF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    for name in ("XF_CONFIG", "XF_PLUGINS_ALLOW", "XF_PLUGINS_DENY", "XF_PLUGINS_PREFER", "XF_STRICT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    from xf.plugins import policy as module

    monkeypatch.setattr(sys.modules["xf.plugins.policy"], "_loaded", {})
    monkeypatch.setattr(sys.modules["xf.plugins.policy"], "_warned", set())
    assert module is policy
    yield
    index._current = None


@pytest.fixture
def warnings_of_xf(monkeypatch):
    """The warnings that are logged."""
    import logging as std

    from xf import logging

    messages: list[str] = []
    handler = std.Handler(std.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.add_handler(handler)
    yield messages
    logging.remove_handler(handler)


# --- the errors


def test_the_errors_are_import_errors_and_value_errors_and_none_is_another():
    for error in ERRORS:
        assert issubclass(error, ImportError) and issubclass(error, ValueError) and issubclass(error, PluginError)
        assert not any(issubclass(error, other) for other in ERRORS if other is not error)


def test_not_installed_gives_the_pip_line_of_the_index_of_known_plugins(monkeypatch):
    table = {
        "xf-plugin-acme": {"config": {"acme": "AcmeConfig"}, "symbol": {"acme_tool": "Tool"}, "task": {"acme-it": "A"}}
    }
    monkeypatch.setattr(known, "table", lambda: table)
    with pytest.raises(PluginNotInstalledError, match="pip install xf-plugin-acme$"):
        registry("config").get("acme")
    with pytest.raises(
        PluginNotInstalledError, match="xf.AcmeConfig is not installed. Run: pip install xf-plugin-acme"
    ):
        from xf import AcmeConfig  # noqa: F401
    with pytest.raises(PluginNotInstalledError, match="Did you mean 'acme'"):
        registry("config").get("acm")


def test_an_install_hint_never_repeats_a_name_that_is_not_known():
    with pytest.raises(PluginNotInstalledError) as raised:
        registry("config").get("evil-package")
    assert "pip install" not in str(raised.value)


def test_a_plugin_that_raises_on_import_is_an_error_of_its_own_and_of_who_asks(tmp_plugin):
    tmp_plugin(
        "acme-broken",
        {"xf.v1.cache": {"broken": "acme_broken:T", "absent": "acme_fine:Nope", "fine": "acme_fine:Thing"}},
        {"acme_broken.py": "raise RuntimeError('the disk is on fire')", "acme_fine.py": THING},
    )
    for _ in range(2):  # the failure is not remembered as something else
        with pytest.raises(PluginImportError, match=r"acme-broken 1.0.*RuntimeError: the disk is on fire") as raised:
            registry("cache").get("broken")
        assert isinstance(raised.value.__cause__, RuntimeError)
    with pytest.raises(PluginImportError, match="AttributeError"):
        registry("cache").get("absent")
    assert registry("cache").get("fine").where == "acme_fine"
    assert {"broken", "absent", "fine"} == set(registry("cache").names())


def test_a_missing_dependency_of_a_plugin_is_named(tmp_plugin):
    tmp_plugin("acme", {"xf.v1.cache": {"needy": "acme_needy:T"}}, {"acme_needy.py": "import no_such_library_here"})
    with pytest.raises(PluginImportError, match="No module named 'no_such_library_here'"):
        registry("cache").get("needy")


@pytest.mark.parametrize(
    "requirement", ["xf-kernel>=9", "xf_kernel>=1.0,<1.0", "XF.Kernel==0.1", "xf-kernel >= nonsense"]
)
def test_a_plugin_for_another_kernel_is_listed_and_never_imported(tmp_plugin, requirement):
    tmp_plugin("acme-new", {"xf.v1.cache": {"new": "acme_new:T"}}, {"acme_new.py": "1/0"}, requires=[requirement])
    record = registry("cache").find("new")
    assert record.status == "incompatible" and record.reason
    assert "new" not in registry("cache").names() and "new" in [r.name for r in registry("cache").records()]
    with pytest.raises(PluginIncompatibleError, match="acme-new 1.0"):
        registry("cache").get("new")
    assert "acme_new" not in sys.modules


@pytest.mark.parametrize(
    "requirement",
    ["xf-kernel", "xf-kernel>=1.0,<2", "xf-kernel>=9; python_version < '3'", "xf-kernel>=9; extra == 'x'", "torch"],
)
def test_a_requirement_that_this_kernel_meets_or_that_does_not_apply_is_compatible(tmp_plugin, requirement):
    tmp_plugin("acme", {"xf.v1.cache": {"fits": "acme_fits:Thing"}}, {"acme_fits.py": THING}, requires=[requirement])
    assert registry("cache").get("fits").where == "acme_fits"


def test_a_plugin_for_another_api_is_incompatible_unless_it_serves_this_one_too(tmp_plugin):
    tmp_plugin("acme-two", {"xf.v2.cache": {"future": "acme_two:T"}}, requires=[])
    tmp_plugin(
        "acme-both",
        {"xf.v1.cache": {"both": "acme_both:Thing"}, "xf.v2.cache": {"both": "acme_both:New"}},
        {"acme_both.py": THING},
        requires=[],
    )
    with pytest.raises(PluginIncompatibleError, match="plugin API v2"):
        registry("cache").get("future")
    assert registry("cache").get("both").where == "acme_both"


# --- one rule for a name offered twice


def two(tmp_plugin, **options):
    for i in ("one", "two"):
        tmp_plugin(
            f"acme-{i}", {"xf.v1.cache": {"same": f"acme_{i}:Thing", i: f"acme_{i}:Thing"}}, {f"acme_{i}.py": THING}
        )


def test_two_distributions_with_one_name_are_an_error_only_for_who_asks(tmp_plugin):
    two(tmp_plugin)
    with pytest.raises(PluginConflictError) as raised:
        registry("cache").get("same")
    text = str(raised.value)
    assert "acme-one (acme_one:Thing)" in text and "acme-two (acme_two:Thing)" in text and "XF_PLUGINS_PREFER=" in text
    assert not {"acme_one", "acme_two"} & set(sys.modules)
    assert registry("cache").get("one").where == "acme_one" and registry("cache").get("two").where == "acme_two"


@pytest.mark.parametrize("setting", ["acme-two", "Acme_Two", "same=acme-two", "nobody,acme.two"])
def test_prefer_decides(tmp_plugin, monkeypatch, setting):
    two(tmp_plugin)
    monkeypatch.setenv("XF_PLUGINS_PREFER", setting)
    assert registry("cache").get("same").where == "acme_two"
    assert registry("cache").find("same").distribution == "acme-two"


def test_prefer_for_another_name_does_not_decide(tmp_plugin, monkeypatch):
    two(tmp_plugin)
    monkeypatch.setenv("XF_PLUGINS_PREFER", "one=acme-two")
    with pytest.raises(PluginConflictError):
        registry("cache").get("same")


def test_a_denied_or_incompatible_plugin_does_not_conflict(tmp_plugin, monkeypatch):
    two(tmp_plugin)
    monkeypatch.setenv("XF_PLUGINS_DENY", "acme-one")
    assert registry("cache").get("same").where == "acme_two"


def test_one_object_that_several_distributions_offer_is_no_conflict(tmp_plugin):
    tmp_plugin("acme-base", {}, {"acme_base.py": "class AcmeShared:\n    pass\n"})
    for i in ("one", "two"):
        tmp_plugin(f"acme-{i}", {"xf.v1.tokenizer": {f"acme-{i}": "acme_base:AcmeShared"}}, {})
    from xf import AcmeShared

    assert registry("tokenizer").get("acme-one") is registry("tokenizer").get("acme-two") is AcmeShared


def test_a_public_name_declared_twice_follows_the_same_rule(tmp_plugin, monkeypatch):
    for i in ("one", "two"):
        tmp_plugin(
            f"acme-{i}", {"xf.v1.symbol": {"AcmeSame": f"acme_{i}:AcmeSame"}}, {f"acme_{i}.py": "AcmeSame = __name__"}
        )
    with pytest.raises(PluginConflictError, match="acme-one.*acme-two|acme-two.*acme-one"):
        from xf import AcmeSame  # noqa: F401
    monkeypatch.setenv("XF_PLUGINS_PREFER", "acme-one")
    import xf

    assert xf.AcmeSame == "acme_one" and find_attribute("AcmeSame").distribution == "acme-one"
    del xf.AcmeSame


def test_one_class_under_several_names_of_one_distribution_is_no_conflict(tmp_plugin):
    entries = {
        "xf.v1.task": {"a": "acme_task:AcmeTask", "b": "acme_task:AcmeTask"},
        "xf.v1.symbol": {"AcmeTask": "acme_task:AcmeTask"},
    }
    tmp_plugin("acme", entries, {"acme_task.py": "class AcmeTask: pass"})
    import xf

    assert xf.AcmeTask is registry("task").get("a") is registry("task").get("b")
    del xf.AcmeTask


def test_registering_in_this_process_is_explicit(tmp_plugin):
    tmp_plugin("acme", {"xf.v1.cache": {"taken": "acme_taken:Thing"}}, {"acme_taken.py": THING})
    things = registry("cache")
    with pytest.raises(PluginConflictError, match="acme.*override=True"):
        things.register("taken", 1)
    things.register("taken", 2, override=True)
    things.register("mine", 3)
    try:
        assert (things.get("taken"), things.get("mine")) == (2, 3)
        assert things.find("mine").distribution == "(registered in this process)" and "mine" in things
        assert [r.name for r in things.records()].count("taken") == 1
        with pytest.raises(PluginConflictError):
            things.register("mine", 4)
    finally:
        things.unregister("taken")
        things.unregister("mine")
    assert things.get("taken").where == "acme_taken" and "mine" not in things
    with pytest.raises(ValueError, match="not empty"):
        things.register("", 1)


# --- policy


def test_a_denied_plugin_is_listed_as_denied_and_never_imported(tmp_plugin, monkeypatch):
    tmp_plugin("acme", {"xf.v1.cache": {"bad": "acme_bad:T", "worse": "acme_bad:T"}}, {"acme_bad.py": "1/0"})
    for setting in ("acme", "ACME", "bad"):
        monkeypatch.setenv("XF_PLUGINS_DENY", setting)
        assert registry("cache").find("bad").status == "denied"
        with pytest.raises(PluginDisabledError, match="XF_PLUGINS_DENY"):
            registry("cache").get("bad")
    assert "worse" in registry("cache").names() and "bad" not in registry("cache").names()
    assert "acme_bad" not in sys.modules


def test_an_allow_list_lets_only_its_names_run_and_an_empty_one_none(tmp_plugin, monkeypatch):
    two(tmp_plugin)
    for setting, names in (
        ("acme-one", {"one", "same"}),
        ("two", {"two"}),
        ("acme-one,two", {"one", "same", "two"}),
        ("", set()),
    ):
        monkeypatch.setenv("XF_PLUGINS_ALLOW", setting)
        assert set(registry("cache").names()) == names, setting
    with pytest.raises(PluginDisabledError, match="not in the allow list of XF_PLUGINS_ALLOW"):
        registry("cache").get("one")
    assert "eager" in registry("attention").names(), "the kernel itself always runs"


def test_deny_wins_over_allow(tmp_plugin, monkeypatch):
    two(tmp_plugin)
    monkeypatch.setenv("XF_PLUGINS_ALLOW", "acme-one")
    monkeypatch.setenv("XF_PLUGINS_DENY", "one")
    assert set(registry("cache").names()) == {"same"}


def test_the_lists_of_a_file_are_those_of_the_environment(tmp_plugin, tmp_path, monkeypatch):
    two(tmp_plugin)
    (tmp_path / "xf.toml").write_text('[plugins]\ndeny = ["one"]\nprefer = [\n  "acme-two",  # why\n]\n')
    assert set(registry("cache").names()) == {"same", "two"}
    assert registry("cache").get("same").where == "acme_two"
    (tmp_path / "other.toml").write_text("[other]\nx = 1\n")
    monkeypatch.setenv("XF_CONFIG", str(tmp_path / "other.toml"))
    assert set(registry("cache").names()) == {"same", "one", "two"}


def test_a_file_in_the_working_folder_cannot_widen_what_the_user_allows(tmp_plugin, tmp_path):
    two(tmp_plugin)
    (tmp_path / "config" / "xf").mkdir(parents=True)
    (tmp_path / "config" / "xf" / "xf.toml").write_text('[plugins]\nallow = ["acme-one"]\ndeny = ["same"]\n')
    (tmp_path / "xf.toml").write_text('[plugins]\nallow = ["acme-one", "acme-two"]\ndeny = []\n')
    assert set(registry("cache").names()) == {"one"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("[plugins\n", "cannot be read"),
        ("[plugins]\ndeny = 'acme'\n", "must be a list of names"),
        ("[plugins]\ndeny = [1]\n", "must be a list of names"),
        ("[plugins]\ndenny = ['acme']\n", "its keys are allow, deny, prefer"),
        ("plugins = 3\n", "must be a table"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_and_never_an_empty_policy(tmp_plugin, tmp_path, text, message):
    tmp_plugin("acme", {"xf.v1.cache": {"x": "acme_x:T"}})
    (tmp_path / "xf.toml").write_text(text)
    with pytest.raises(PluginError, match=message):
        registry("cache").get("x")


def test_a_configuration_file_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv("XF_CONFIG", "/no/such/file.toml")
    with pytest.raises(PluginError, match="not a file"):
        registry("cache").names()


def test_the_lists_in_python_are_those_of_workers_too(tmp_plugin, monkeypatch):
    import os

    for name in ("ALLOW", "DENY", "PREFER"):
        monkeypatch.setenv(f"XF_PLUGINS_{name}", "x")
    two(tmp_plugin)
    set_policy(deny=["acme-one"])
    assert os.environ["XF_PLUGINS_DENY"] == "acme-one" and "XF_PLUGINS_ALLOW" not in os.environ
    assert set(registry("cache").names()) == {"same", "two"}
    set_policy(allow=[])
    assert registry("cache").names() == []
    set_policy()
    assert set(registry("cache").names()) == {"one", "same", "two"}
    with pytest.raises(ValueError, match="must be a list"):
        set_policy(deny="acme-one")


def test_an_unknown_name_in_a_list_warns_once_with_the_close_matches(tmp_plugin, monkeypatch, warnings_of_xf):
    two(tmp_plugin)
    monkeypatch.setenv("XF_PLUGINS_DENY", "acme-on,same")
    for _ in range(3):
        registry("cache").names()
    assert len(warnings_of_xf) == 1
    assert "XF_PLUGINS_DENY names 'acme-on'" in warnings_of_xf[0] and "did you mean acme-one" in warnings_of_xf[0]


def test_a_known_plugin_that_is_not_installed_may_stand_in_a_list(tmp_plugin, monkeypatch, warnings_of_xf):
    monkeypatch.setattr(known, "table", lambda: {"xf-plugin-elsewhere": {"config": {"elsewhere": "C"}}})
    monkeypatch.setenv("XF_PLUGINS_DENY", "xf-plugin-elsewhere,elsewhere")
    registry("cache").names()
    assert warnings_of_xf == []


names = st.sampled_from(["a", "b", "dist-a", "dist-b", "Dist_A", "c"])
records = st.builds(
    Record,
    st.just("cache"),
    st.sampled_from(["a", "b"]),
    st.just("m"),
    st.just("T"),
    st.sampled_from(["dist-a", "dist-b"]),
    st.just("1"),
)
lists = st.lists(st.tuples(st.sampled_from(["env", "file"]), st.lists(names).map(tuple)), max_size=3).map(tuple)


@given(records, lists, lists, lists)
def test_more_lists_never_let_more_run(record, allow, deny, more):
    """Adding an allow list or a deny list can only take away."""
    before = Policy(allow, deny).verdict(record)
    if before:
        assert Policy(allow + more, deny).verdict(record) and Policy(allow, deny + more).verdict(record)
    assert bool(Policy((), deny).verdict(record)) == any(
        record.name in names or record.distribution in {n.lower().replace("_", "-") for n in names} for _, names in deny
    )


@given(st.lists(records, min_size=2, max_size=4), lists)
def test_prefer_chooses_among_what_is_offered_or_not_at_all(offered, prefer):
    chosen = Policy(prefer=prefer).preferred(offered)
    assert chosen is None or chosen in offered
    assert (chosen is None) == (
        not any(n.lower().replace("_", "-") == r.distribution for _, ns in prefer for n in ns for r in offered)
    )


@given(
    st.dictionaries(st.sampled_from(["allow", "deny", "prefer"]), st.lists(st.text("abc-=_ ", max_size=8), max_size=4))
)
def test_the_plain_reader_of_tables_reads_what_a_toml_writer_writes(table):
    text = "[first]\nx = 1\n[plugins]\n" + "".join(
        f"{key} = [\n" + "".join(f'  "{item}",  # a name\n' for item in items) + "]\n" for key, items in table.items()
    )
    assert _parse_plain(text + "\n[last]\ny = 2\n") == table


@pytest.mark.parametrize("text", ["[plugins]\ndeny = [x]\n", '[plugins]\ndeny = ["a"\n', "[plugins]\ndeny\n"])
def test_the_plain_reader_of_tables_refuses_what_it_does_not_understand(text):
    with pytest.raises(ValueError):
        _parse_plain(text)


# --- small things


def test_groups_and_records_tell_everything_that_is_offered(tmp_plugin):
    tmp_plugin("acme", {"xf.v1.model.causal_lm": {"acme": "acme_m:M"}, "other.group": {"x": "y:z"}})
    assert "model.causal_lm" in groups() and not any("other" in group for group in groups())
    assert find_attribute("M").target == "acme_m:M" and find_attribute("Nope") is None
    assert len(registry("model.causal_lm")) == 1 and list(registry("model.causal_lm")) == ["acme"]
    assert "acme" in repr(registry("model.causal_lm"))


def test_what_others_can_go_on_without_raises_only_in_strict_mode(monkeypatch, warnings_of_xf):
    error = PluginImportError("broken")
    tolerate(error)
    assert warnings_of_xf == ["Skipped: broken"]
    monkeypatch.setenv("XF_STRICT_PLUGINS", "1")
    with pytest.raises(PluginImportError):
        tolerate(error)


def test_attributes_of_attributes_and_whole_modules_are_targets():
    assert load(Record("x", "n", "collections", "OrderedDict.fromkeys", "d", "1")) is not None
    assert load(Record("x", "n", "collections.abc", "", "d", "1")).__name__ == "collections.abc"
    with pytest.raises(PluginConflictError):
        choose([Record("x", "n", "a", "A", "d1", "1"), Record("x", "n", "b", "B", "d2", "1")], "x 'n'")
