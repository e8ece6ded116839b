"""Discovery: what is found, in which order, from which cache, and what a broken installation does to the rest."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xf
from xf.plugins import PluginError, index, refresh, registry
from xf.plugins.index import Index, _entries, _rows, cache_file, normalize
from xf_testing.distributions import write_distribution

MODULE = "class Thing:\n    where = __name__\n"


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    """Every test has its own cache, and no list of the machine it runs on."""
    monkeypatch.setenv("XF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XF_CONFIG", "")
    for name in ("XF_PLUGINS_ALLOW", "XF_PLUGINS_DENY", "XF_PLUGINS_PREFER", "XF_STRICT_PLUGINS", "XF_DISCOVERY_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(index, "_current", None)
    yield
    monkeypatch.undo()
    index._current = None


@pytest.fixture
def alone(monkeypatch):
    """Only what a test puts on the path is installed: nobody can change it in between."""
    import importlib_metadata  # noqa: F401 (imported now, while it can be found)
    import packaging.requirements  # noqa: F401

    # first, so that what syspath_prepend remembers and puts back at the end is the whole path
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "site-packages" not in path and "/src" not in path])


def rescan():
    """The index as a new process would get it."""
    index._current = None
    return refresh()


def python(code: str, *path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **environment}
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)


def lines_of(code: str, *path: Path, **environment: str) -> list[str]:
    done = python(code, *path, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# --- what is found


def test_listing_and_finding_import_nothing_and_get_imports_one_target(tmp_plugin):
    tmp_plugin(
        "acme-things",
        {"xf.v1.cache": {"one": "acme_one:Thing", "two": "acme_two:Thing"}},
        {"acme_one.py": MODULE, "acme_two.py": MODULE},
    )
    things = registry("cache")
    assert {"one", "two"} <= set(things.names())
    record = things.find("one")
    assert (record.group, record.module, record.attribute) == ("cache", "acme_one", "Thing")
    assert (record.distribution, record.version, record.status) == ("acme-things", "1.0", "ok")
    assert not {"acme_one", "acme_two"} & set(sys.modules)
    assert things.get("one").where == "acme_one"
    assert "acme_one" in sys.modules and "acme_two" not in sys.modules


def test_import_xf_and_every_listing_import_neither_torch_nor_numpy_nor_a_plugin(tmp_path):
    write_distribution(
        tmp_path, "acme", entry_points={"xf.v1.task": {"t": "acme_boom:T"}}, modules={"acme_boom.py": "1/0"}
    )
    code = (
        "import sys, xf, xf.cli; from xf.plugins import groups, registry\n"
        "assert 't' in registry('task').names() and groups() and dir(xf) and xf.logging.get_verbosity()\n"
        "assert xf.cli.main(['plugins', '--json']) == 0 and xf.cli.main(['plugins']) == 0\n"
        "heavy = {'torch', 'numpy', 'acme_boom', 'pluggy', 'huggingface_hub', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = python(code, tmp_path, XF_CACHE=str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr


def test_a_name_of_a_plugin_is_an_attribute_of_xf(tmp_plugin):
    tmp_plugin(
        "acme-names",
        {"xf.v1.symbol": {"acme_alias": "acme_names:AcmeThing"}, "xf.v1.logits": {"x": "acme_names:AcmeProcessor"}},
        {"acme_names.py": "class AcmeThing: pass\nclass AcmeProcessor: pass\n"},
    )
    from xf import AcmeProcessor, AcmeThing, acme_alias

    assert acme_alias is AcmeThing and AcmeProcessor.__name__ == "AcmeProcessor"
    assert {"AcmeThing", "acme_alias", "AutoModel"} <= set(dir(xf))
    with pytest.raises(AttributeError, match="did you mean AcmeThing"):
        xf.AcmeThin
    for name in ("AcmeThing", "AcmeProcessor", "acme_alias"):
        delattr(xf, name)


def test_an_unknown_name_is_an_attribute_error_and_an_import_error():
    with pytest.raises(AttributeError, match="did you mean AutoModel"):
        xf.AutoModell
    with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
        from xf import Nonsense  # noqa: F401
    assert not hasattr(xf, "__wrapped__") and not hasattr(xf, "zzz_nothing_like_it")


def test_editable_installs_are_found(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "acme_edit.py").write_text(MODULE)
    site = write_distribution(tmp_path / "site", "acme", entry_points={"xf.v1.cache": {"edit": "acme_edit:Thing"}})
    (site / "acme.pth").write_text(str(source))
    code = (
        f"import site; site.addsitedir({str(site)!r})\n"
        "from xf.plugins import registry; print(registry('cache').get('edit').where)"
    )
    assert lines_of(code, XF_CACHE=str(tmp_path)) == ["acme_edit"]


def test_of_two_copies_of_a_distribution_the_first_on_the_path_counts(tmp_path, monkeypatch):
    for name, version in (("first", "2.0"), ("second", "1.0")):
        folder = write_distribution(
            tmp_path / name,
            "Acme.Copies",
            version=version,
            entry_points={"xf.v1.cache": {"copy": f"{name}:T", name: f"{name}:T"}},
        )
        monkeypatch.syspath_prepend(str(folder))
    sys.path[:2] = [str(tmp_path / "first"), str(tmp_path / "second")]
    rescan()
    assert registry("cache").find("copy").version == "2.0"
    assert "second" not in registry("cache").names()
    sys.path[:2] = [str(tmp_path / "second"), str(tmp_path / "first")]
    assert [r.version for r in rescan().group("cache")["copy"]] == ["1.0"]


def test_a_copy_without_entry_points_hides_one_further_on(tmp_path, monkeypatch):
    write_distribution(tmp_path / "b", "acme", entry_points={"xf.v1.cache": {"hidden": "m:T"}})
    monkeypatch.syspath_prepend(str(tmp_path / "b"))
    assert "hidden" in rescan().group("cache")
    empty = write_distribution(tmp_path / "a", "acme")
    (empty / "acme-1.0.dist-info" / "entry_points.txt").unlink()
    monkeypatch.syspath_prepend(str(empty))
    assert "hidden" not in rescan().group("cache")


def test_importlib_metadata_finds_the_same_entry_points():
    """Our reader of metadata against importlib_metadata, on everything installed here."""
    from importlib_metadata import entry_points

    theirs = {
        (point.group, point.name, point.value.partition("[")[0].strip())
        for point in entry_points()
        if point.group.startswith("xf.v1.")
    }
    ours = {(f"xf.v1.{record.group}", record.name, record.target) for record in rescan().rows}
    assert ours == theirs and ours


def test_distributions_in_archives_are_found(tmp_path, monkeypatch):
    import zipfile

    folder = write_distribution(tmp_path / "x", "acme-zip", entry_points={"xf.v1.cache": {"zipped": "acme_zip:Thing"}})
    (folder / "acme_zip.py").write_text(MODULE)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    monkeypatch.syspath_prepend(str(tmp_path / "a.zip"))
    rescan()
    assert registry("cache").get("zipped").where == "acme_zip"


def test_what_is_installed_while_we_run_is_found_when_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    rescan()
    assert registry("cache").find("late") is None
    write_distribution(tmp_path, "acme-late", entry_points={"xf.v1.cache": {"late": "acme_late:Thing"}})
    (tmp_path / "acme_late.py").write_text(MODULE)
    assert registry("cache").get("late").where == "acme_late"


# --- the cache


def test_a_second_process_reads_the_cache_and_a_change_makes_a_new_scan(tmp_path, monkeypatch, alone):
    write_distribution(tmp_path / "s", "acme", entry_points={"xf.v1.cache": {"a": "m:T"}})
    monkeypatch.syspath_prepend(str(tmp_path / "s"))
    rescan()
    scans = []
    monkeypatch.setattr(index, "_scan", lambda folders: scans.append(1) or ([], []))
    assert "a" in rescan().group("cache") and not scans
    points = tmp_path / "s" / "acme-1.0.dist-info" / "entry_points.txt"
    stat = points.stat()
    os.utime(points, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # one nanosecond is a change
    rescan()
    assert scans == [1]


def test_the_key_names_the_order_of_the_path_the_interpreter_and_the_kernel(tmp_path, monkeypatch, alone):
    for name in ("a", "b"):
        monkeypatch.syspath_prepend(str(write_distribution(tmp_path / name, f"acme-{name}")))
    key = index._fingerprint()[0]
    sys.path[0], sys.path[1] = sys.path[1], sys.path[0]
    assert index._fingerprint()[0] != key
    sys.path[0], sys.path[1] = sys.path[1], sys.path[0]
    for module, attribute, value in ((sys, "prefix", "/x"), (sys, "executable", "/x"), (index, "VERSION", "9.9")):
        with monkeypatch.context() as changed:
            changed.setattr(module, attribute, value)
            assert index._fingerprint()[0] != key
    assert index._fingerprint()[0] == key


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff", b"0\n{}", b"nonsense", b"{}", b"12\n" + b"[" * 100_000, None],
    ids=["empty", "bytes", "checksum", "text", "json", "deep", "truncated"],
)
def test_a_corrupt_cache_is_a_silent_scan(tmp_path, monkeypatch, capfd, content, alone):
    monkeypatch.syspath_prepend(str(write_distribution(tmp_path, "acme", entry_points={"xf.v1.cache": {"a": "m:T"}})))
    path = Path(cache_file(rescan().key))
    whole = path.read_bytes()
    path.write_bytes(whole[:-7] if content is None else content)
    assert "a" in rescan().group("cache")
    assert path.read_bytes() == whole
    assert capfd.readouterr() == ("", "")


def test_no_changed_byte_of_the_cache_changes_the_answer(tmp_path, monkeypatch, alone):
    points = {"xf.v1.cache": {"a": "m:T", "b": "m:U"}, "xf.v1.task": {"c": "n:V"}}
    monkeypatch.syspath_prepend(str(write_distribution(tmp_path, "acme", entry_points=points)))
    found = rescan()
    path = Path(cache_file(found.key))
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        for byte in (whole[place] ^ 1, whole[place] ^ 128, ord("0"), ord('"')):
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            assert rescan().rows == found.rows


def test_a_cache_that_cannot_be_written_is_a_silent_scan(tmp_path, monkeypatch, capfd, alone):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XF_CACHE", str(tmp_path / "file"))
    monkeypatch.syspath_prepend(
        str(write_distribution(tmp_path / "s", "acme", entry_points={"xf.v1.cache": {"a": "m:T"}}))
    )
    assert "a" in rescan().group("cache")
    assert capfd.readouterr() == ("", "")


def test_a_cache_that_is_replaced_at_the_same_time_is_whole(tmp_path):
    """Eight processes with two different indexes write the same folder; each gets its own answer."""
    sites = [
        write_distribution(tmp_path / f"s{i}", "acme", entry_points={"xf.v1.cache": {f"own{i}": "m:T"}})
        for i in range(2)
    ]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.executable = 'x'; import xf.plugins.index as i\n"
        "import xf.plugins\n"
        "i.cache_file = lambda key: sys.argv[3]\n"
        "for _ in range(30):\n"
        "    i._current = None\n"
        "    assert sys.argv[2] in i.refresh().group('cache')"
    )
    shared = str(tmp_path / "c" / "shared.json")
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(sites[n % 2]), f"own{n % 2}", shared], stderr=subprocess.PIPE)
        for n in range(8)
    ]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert os.listdir(tmp_path / "c") == ["shared.json"]


def test_the_cache_can_be_turned_off(tmp_path, monkeypatch):
    monkeypatch.setenv("XF_DISCOVERY_CACHE", "0")
    rescan()
    assert not (tmp_path / "cache").exists()


def test_old_caches_are_removed(tmp_path, monkeypatch, alone):
    folder = tmp_path / "cache" / "discovery"
    folder.mkdir(parents=True)
    for i in range(index.KEPT_CACHES + 5):
        (folder / f"{i}.json").write_text("")
        os.utime(folder / f"{i}.json", (i, i))
    rescan()
    assert len(list(folder.iterdir())) == index.KEPT_CACHES
    assert not (folder / "0.json").exists()


def test_a_cache_of_somebody_else_is_not_read(monkeypatch, alone):
    key = rescan().key
    assert index._read_cache(key) is not None
    real = os.fstat

    def of_somebody_else(descriptor):
        values = {name: value for name, value in vars(type(real(descriptor))).items() if name.startswith("st_")}
        found = {name: getattr(real(descriptor), name) for name in values}
        return SimpleNamespace(**{**found, "st_uid": (os.geteuid() or 1000) + 1})

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", of_somebody_else)
        assert index._read_cache(key) is None


# --- broken metadata


def test_broken_metadata_is_a_problem_of_its_distribution_alone(tmp_path, monkeypatch):
    good = write_distribution(tmp_path, "good", entry_points={"xf.v1.cache": {"fine": "m:T"}})
    bad = tmp_path / "bad-1.0.dist-info"
    bad.mkdir()
    (bad / "entry_points.txt").write_bytes(b"[xf.v1.cache]\nx = \xff\xfe:T\n")
    (bad / "METADATA").write_text("Name: bad\nVersion: 1\n")
    lonely = tmp_path / "lonely-1.0.dist-info"
    lonely.mkdir()
    (lonely / "entry_points.txt").write_text("[xf.v1.cache]\nlonely = m:T\n")
    write_distribution(tmp_path, "odd", entry_points={"xf.v1.cache": {"odd": "not a module:T"}})
    monkeypatch.syspath_prepend(str(good))
    found = rescan()
    assert list(found.group("cache")).count("fine") == 1 and "lonely" not in found.group("cache")
    assert len(found.problems) == 3 and any("malformed entry point odd" in problem for problem in found.problems)
    monkeypatch.setenv("XF_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match="Broken plugin metadata"):
        rescan()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_the_reader_of_entry_points(text):
    problems: list[str] = []
    for _, name, value in _entries("[xf.v1.cache]\n" + text):
        assert isinstance(name, str) and isinstance(value, str)
    for row in _rows("acme", "[xf.v1.cache]\n" + text, text, problems):
        assert len(row) == 8 and row[0] == "cache" and all(part.isidentifier() for part in row[2].split("."))
        assert Index("k", {"cache": json.dumps([row[1:]])}, []).group("cache")[row[1]][0].name == row[1]


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True))
def test_names_of_distributions_are_normalized_as_packaging_does(name):
    from packaging.utils import canonicalize_name

    assert normalize(name) == canonicalize_name(name)

    # --- other processes


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_resolve_the_same_names(tmp_plugin, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    folder = tmp_plugin("acme", {"xf.v1.cache": {"work": "acme_work:Thing"}}, {"acme_work.py": MODULE})
    code = (
        f"import sys, multiprocessing; sys.path[:0] = [{str(folder)!r}, {str(folder.parent)!r}]\n"
        "import worker_probe\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context({method!r}); queue = context.Queue()\n"
        "    process = context.Process(target=worker_probe.probe, args=(queue, 'work')); process.start()\n"
        "    print(queue.get(timeout=60)); process.join()\n"
    )
    (folder.parent / "worker_probe.py").write_text(
        "from xf.plugins import registry\ndef probe(queue, name): queue.put(registry('cache').get(name).where)\n"
    )
    script = folder.parent / "main.py"
    script.write_text(code)
    path = os.pathsep.join([str(folder), str(folder.parent)])
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.stdout.split() == ["acme_work"], done.stderr


def test_discovery_of_many_plugins_does_not_grow_quadratically(tmp_path, monkeypatch):
    """A coarse guard; the figures are in `make bench`."""
    for i in range(300):
        write_distribution(tmp_path, f"acme-{i}", entry_points={"xf.v1.config": {f"c{i}": f"m{i}:C"}})
    monkeypatch.syspath_prepend(str(tmp_path))
    rescan()
    begin = time.process_time()
    assert len(rescan().group("config")) >= 300
    assert time.process_time() - begin < 0.5
