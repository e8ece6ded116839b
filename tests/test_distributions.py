"""Each distribution is whole by itself: what it holds, what it requires, and that it installs alone from its wheel."""

import ast
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from xf_testing.environments import FreshEnvironment

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import packages as tree  # noqa: E402
import sync_root  # noqa: E402

PACKAGES = tree.packages()
OWN = {p.name for p in PACKAGES}
PLUGINS = [p for p in PACKAGES if p.kind in ("plugin", "contrib")]


def ids(package):
    return package.name


@pytest.mark.parametrize("package", PACKAGES, ids=ids)
def test_it_is_whole(package):
    source = package.folder / "src" / package.import_name
    assert (package.folder / "README.md").read_text(encoding="utf-8").startswith("# ")
    assert (source / "py.typed").exists() and (source / "__init__.py").read_text().lstrip().startswith(('"""', 'r"""'))
    assert list((package.folder / "tests").glob("test_*.py")), "no tests"
    assert package.entry_points or package.kind in ("foundation", "kernel")


@pytest.mark.parametrize("package", PACKAGES, ids=ids)
def test_requirements_follow_the_rules(package):
    """Between our own: from the minor of the API up to the next major, never a fixed version."""
    for requirement in (*package.requires, *package.optional):
        if tree.requirement_name(requirement) in OWN:
            assert re.search(r">=1\.\d+,<2$", requirement.replace(" ", "")), requirement
        assert "==" not in requirement, f"{requirement} leaves users no choice"


def test_test_files_have_names_of_their_own():
    found = [path.name for p in PACKAGES for path in (p.folder / "tests").glob("test_*.py")]
    found += [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(found) == sorted(set(found)), "one run collects all of them"


def test_the_root_lists_are_current():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert sync_root.rewrite(text) == text, "run `make sync`"


def test_the_index_of_known_plugins_is_current():
    command = [sys.executable, ROOT / "tools" / "known_plugins.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"run `make sync`\n{done.stderr}"


def test_every_plugin_is_in_an_extra():
    text = "\n".join(sync_root.extras())
    assert all(f'"{p.name}>=' in text for p in PLUGINS if p.kind == "plugin")


def test_wheels_hold_the_package_and_nothing_else(wheelhouse):
    wheels = {tree.normalize(p.name.split("-")[0]): p for p in wheelhouse.glob("*.whl")}
    assert set(wheels) == OWN | {"xf"}
    for package in PACKAGES:
        names = zipfile.ZipFile(wheels[package.name]).namelist()
        outside = [
            n for n in names if not n.startswith((f"{package.import_name}/", wheels[package.name].name.split("-")[0]))
        ]
        assert not outside, f"{package.name}: {outside}"
        assert not [n for n in names if "test" in Path(n).name and package.name != "xf-testing"], package.name
        assert f"{package.import_name}/py.typed" in names


def test_the_meta_distribution_holds_no_files(wheelhouse):
    (wheel,) = wheelhouse.glob("xf-1*.whl")
    assert all(".dist-info/" in name for name in zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An environment with third-party packages and nothing of ours."""
    return FreshEnvironment(tmp_path_factory.mktemp("bare") / "environment")


@pytest.mark.parametrize("package", PLUGINS, ids=ids)
def test_it_installs_alone(package, bare, wheelhouse):
    """The installer finds all it requires, and of ours nothing but what it declares, directly or not."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--no-index", "--find-links", wheelhouse]
    done = subprocess.run([*command, "--python", bare.python, package.name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    installed = {tree.normalize(line.split("==")[0].strip(" +")) for line in done.stderr.splitlines() if "==" in line}
    assert installed & OWN == {p.name for p in tree.closure([package.name])}
    assert installed <= OWN, f"third-party packages that the tests' environment lacks: {installed - OWN}"


def test_one_deployment_is_small(wheelhouse):
    """xf-plugin-sam with the kernel and its foundations: under 3 MB installed, all of ours together."""
    wheels = {tree.normalize(p.name.split("-")[0]): p for p in wheelhouse.glob("*.whl")}
    needed = [p.name for p in tree.closure(["xf-plugin-sam"])]
    size = sum(entry.file_size for name in needed for entry in zipfile.ZipFile(wheels[name]).infolist())
    assert size < 3_000_000, f"{size} bytes in {needed}"


def test_a_source_distribution_can_be_built(tmp_path):
    """For those who build from source: the format plugin carries its data."""
    folder = next(p.folder for p in PACKAGES if p.name == "xf-plugin-format-gguf")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    assert any(name.endswith("/codebooks.npz") for name in tarfile.open(archive).getnames())


def test_what_tests_import_is_declared():
    """`make test-alone` runs each distribution's tests with what it declares; this finds what was forgotten at once."""
    by_name = {p.name: p for p in PACKAGES}
    owner = {p.import_name: p.name for p in PACKAGES}
    symbols, modules = {}, {}
    for package in PACKAGES:
        for group, entries in package.entry_points.items():
            for name, target in entries.items():
                symbols.setdefault(target.partition(":")[2], set()).add(package.name)
                if group == "xf.v1.module":
                    modules[name] = package.name
    missing = []
    for package in PACKAGES:
        wanted = [tree.requirement_name(r) for r in package.tests]
        extras = [r for r in package.tests if "[" in r]
        wanted += [tree.requirement_name(o) for r in extras for o in by_name[tree.requirement_name(r)].optional]
        have = {p.name for p in tree.closure([package.name, *(name for name in wanted if name in by_name)])}
        for path in (package.folder / "tests").glob("test_*.py"):
            for module, name in _imports(path):
                providers = {owner[module.split(".")[0]]} if module.split(".")[0] in owner else set()
                if module == "xf":
                    providers = symbols.get(name, set())
                elif module.removeprefix("xf.") in modules:
                    providers = {modules[module.removeprefix("xf.")]}
                if providers and not providers & have:
                    missing.append(f"{package.name}: {path.name} needs {' or '.join(sorted(providers))}")
    assert not missing, "\n".join(sorted(set(missing)))


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "xf":
            yield "xf", node.attr
