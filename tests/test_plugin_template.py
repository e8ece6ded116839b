"""The template is a product: every kind is rendered, built, installed into a fresh environment, and conforms there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from xf_testing.environments import FreshEnvironment

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "plugin-template"
KINDS = list(yaml.safe_load((TEMPLATE / "copier.yml").read_text())["kind"]["choices"].values())
MAIN_FILE = {"model": "modeling", "task": "pipeline", "tokenizer": "tokenization", "logits": "processor"}
CONTRACT = {"model": "config", "format": "checkpoint_format", "source": "checkpoint_source"}


def render(kind, folder, **answers):
    import copier

    data = {"kind": kind, **answers}
    copier.run_copy(str(TEMPLATE), str(folder), data=data, defaults=True, quiet=True, vcs_ref=None)
    return folder


def test_every_kind_has_its_files():
    needed = {"code.py.jinja", "test.py.jinja", "entry_points.toml.jinja", "example.py.jinja"}
    for kind in KINDS:
        assert needed <= {p.name for p in (TEMPLATE / "kinds" / kind).iterdir()}, kind
    assert {p.name for p in (TEMPLATE / "kinds").iterdir()} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_rendered_built_and_installed_it_conforms(kind, tmp_path, wheelhouse):
    plugin = render(kind, tmp_path / "plugin", name="my_thing", distribution="xf-plugin-stranger", author="A Stranger")
    module = "xf_plugin_stranger"
    main = MAIN_FILE.get(kind, kind)
    expected = {
        "README.md", "pyproject.toml", ".gitignore", f"src/{module}/__init__.py", f"src/{module}/py.typed",
        f"src/{module}/{main}.py", f"tests/test_{module}.py",
    }  # fmt: skip
    expected |= {f"src/{module}/configuration.py"} if kind == "model" else set()
    assert {str(p.relative_to(plugin)) for p in plugin.rglob("*") if p.is_file()} == expected

    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"]
    subprocess.run(command, cwd=plugin, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    environment = FreshEnvironment(tmp_path / "environment")
    also = {"task": ["xf-plugin-bert", "xf-tokenizers"], "logits": ["xf-generation"]}.get(kind, [])
    environment.install(
        wheel, "xf-testing[callbacks]" if kind == "callback" else "xf-testing", *also, wheelhouse=wheelhouse
    )

    shutil.rmtree(plugin / "src")  # what runs is the wheel
    report = tmp_path / "report.json"
    done = environment.run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "--xf-conformance", f"--xf-report={report}", cwd=plugin
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(report.read_text())["results"]
    name = "my-thing" if kind == "source" else "my_thing"  # schemes of addresses have no _
    assert results[f"{CONTRACT.get(kind, kind)}/{name}"]["conforms"], results
    if "\ndef test_" in (plugin / "tests" / f"test_{module}.py").read_text():  # tests of its own beside the checks
        tests = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=plugin)
        assert tests.returncode == 0, tests.stdout + tests.stderr


def test_a_name_that_cannot_be_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match="lower case"):
        render("cache", tmp_path / "plugin", name="My Cache")
