"""The command line and `explain`: what they print, for people and as JSON, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from xf import cli
from xf.explain import Choice, Explanation, explain_checkpoint
from xf.plugins import known
from xf_pipelines.command import _plain, readable, separate
from xf_testing.distributions import write_distribution

FAMILY = {
    "clifam/__init__.py": "",
    "clifam/model.py": '''
import torch
from torch import nn
from xf import PretrainedConfig, PreTrainedModel
from xf.modeling_outputs import BaseModelOutput

class ClifamConfig(PretrainedConfig):
    model_type = "clifam"
    vocab_size: int = 10
    hidden_size: int = 4

class ClifamModel(PreTrainedModel):
    config_class = ClifamConfig
    base_model_prefix = "clifam"
    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.post_init()
    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        return BaseModelOutput(last_hidden_state=self.embed(input_ids))
''',
    "clifam/task.py": '''
from xf import Pipeline

class Count(Pipeline):
    task = "count"
    auto_model_heads = ("base",)
    loads = ("tokenizer",)
    def _sanitize_parameters(self, labels=1, **kwargs):
        return {}, {}, {"labels": labels, **kwargs}
    def preprocess(self, text):
        if isinstance(text, dict):
            text = text["text"]
        return self.tokenizer(text, return_tensors="pt")
    def _forward(self, inputs):
        assert self.model(**inputs).last_hidden_state.shape[:2] == inputs["input_ids"].shape
        return {"n": inputs["attention_mask"].sum(1)}
    def postprocess(self, outputs, labels=1, upper=False):
        n = int(outputs["n"])
        return [{"LABEL" if upper else "label": str(i), "score": n / (i + 1)} for i in range(labels)]
''',
    "clifam/command.py": '''
class Hello:
    def add_arguments(self, parser):
        parser.add_argument("name")
        parser.add_argument("--fail", action="store_true")
    def run(self, arguments):
        if arguments.fail:
            raise ValueError("it was to fail,\\nand it did")
        print("hello", arguments.name)
''',
}  # fmt: skip
ENTRY_POINTS = {
    "xf.v1.config": {"clifam": "clifam.model:ClifamConfig"},
    "xf.v1.model.base": {"clifam": "clifam.model:ClifamModel"},
    "xf.v1.task": {"count": "clifam.task:Count"},
    "xf.v1.command": {"hello": "clifam.command:Hello", "broken": "clifam.nothing:Hello"},
}
MAKE = """
from tokenizers import Tokenizer, models, pre_tokenizers
from xf import ClifamConfig, ClifamModel, PreTrainedTokenizerFast
import sys
model = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2}, unk_token="[UNK]"))
model.pre_tokenizer = pre_tokenizers.Whitespace()
ClifamModel(ClifamConfig()).save_pretrained(sys.argv[1])
PreTrainedTokenizerFast(tokenizer_object=model, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(sys.argv[1])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with a family, a task, two commands, and a checkpoint in `checkpoint`."""
    folder = tmp_path_factory.mktemp("site")
    write_distribution(folder, "xf-clifam", entry_points=ENTRY_POINTS, modules=FAMILY)
    variables = {**os.environ, "PYTHONPATH": str(folder), "XF_CACHE": str(folder / "cache"), "XF_CONFIG": ""}
    subprocess.run([sys.executable, "-c", MAKE, str(folder / "checkpoint")], env=variables, check=True)
    return folder


@pytest.fixture
def xf(site, monkeypatch, capsys):
    """Run a command in this process: xf("plugins") -> (exit code, stdout, stderr)."""
    from xf.plugins import index

    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("XF_CACHE", str(site / "cache"))
    monkeypatch.setenv("XF_CONFIG", "")
    monkeypatch.setattr(index, "_current", None)

    def run(*arguments: str):
        capsys.readouterr()
        code = cli.main(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    yield run
    index._current = None


def test_without_arguments_it_helps(xf):
    code, out, _ = xf()
    assert code == 0 and all(word in out for word in ("plugins", "doctor", "explain", "run", "hello", "from xf-clifam"))
    assert xf("--help")[0] == 0 and xf("--version")[1].startswith("xf-kernel 1.")


def test_wrong_arguments_are_exit_code_2_without_a_traceback(xf):
    for arguments in (["nonsense"], ["explain"], ["plugins", "--nonsense"], ["run"]):
        code, _, err = xf(*arguments)
        assert code == 2 and "usage: xf" in err and "Traceback" not in err


def test_plugins_are_listed_as_a_table_and_as_json(xf):
    _, out, _ = xf("plugins")
    line = next(line for line in out.splitlines() if line.startswith("xf-clifam"))
    assert "models clifam (1 heads)" in line and "task count" in line and "ok" in line
    records = json.loads(xf("plugins", "--json")[1])
    found = [record for record in records if record["distribution"] == "xf-clifam"]
    assert {record["name"] for record in found} == {"clifam", "count", "hello", "broken"}
    assert found[0].keys() >= {"group", "name", "target", "distribution", "version", "status", "reason"}


def test_why_tells_where_a_name_comes_from(xf, monkeypatch):
    code, out, _ = xf("plugins", "why", "count")
    assert code == 0 and "clifam.task:Count" in out and out.rstrip().endswith("used")
    monkeypatch.setenv("XF_PLUGINS_DENY", "xf-clifam")
    assert "XF_PLUGINS_DENY denies it" in xf("plugins", "why", "ClifamModel")[1]
    assert json.loads(xf("plugins", "why", "xf-clifam", "--json")[1])["installed"][0]["status"] == "denied"
    monkeypatch.setattr(known, "table", lambda: {"xf-plugin-elsewhere": {"config": {"elsewhere": "C"}}})
    code, out, _ = xf("plugins", "why", "elsewhere")
    assert code == 1 and "pip install xf-plugin-elsewhere" in out
    code, _, err = xf("plugins", "why", "zzz")
    assert code == 1 and "called 'zzz'" in err
    assert xf("plugins", "why")[0] == 1


def test_two_providers_and_their_verdicts(xf, tmp_path, monkeypatch):
    write_distribution(tmp_path, "other", entry_points={"xf.v1.task": {"count": "other:Count"}})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "is provided by" in xf("plugins", "why", "count")[1]
    monkeypatch.setenv("XF_PLUGINS_PREFER", "other")
    assert "passed over for other" in xf("plugins", "why", "count")[1]


def test_the_doctor_finds_what_is_broken(xf, monkeypatch, tmp_path):
    assert xf("doctor")[0] == 0
    code, out, _ = xf("doctor", "--imports")
    assert code == 1 and "FAIL  command broken" in out and "No module named 'clifam.nothing'" in out
    write_distribution(tmp_path, "new", entry_points={"xf.v1.task": {"new": "m:N"}}, requires=["xf-kernel>=9"])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("XF_PLUGINS_ALLOW", "xf-clifam,new,nobody-at-all")
    code, out, _ = xf("doctor")
    assert code == 1 and "FAIL  task new" in out and "nobody-at-all" in out
    checks = json.loads(xf("doctor", "--json")[1])
    assert {"check", "ok", "detail"} == set(checks[0]) and any(not check["ok"] for check in checks)


def test_a_policy_that_cannot_be_read_locks_nobody_out(xf, tmp_path, monkeypatch):
    (tmp_path / "bad.toml").write_text("[plugins\n")
    monkeypatch.setenv("XF_CONFIG", str(tmp_path / "bad.toml"))
    code, out, err = xf("--help")
    assert code == 0 and "plugins" in out and "bad.toml" in err
    code, out, _ = xf("doctor")
    assert code == 1 and "bad.toml" in out
    code, _, err = xf("plugins")
    assert code == 1 and "bad.toml" in err


def test_commands_of_plugins(xf, monkeypatch):
    assert xf("hello", "you") == (0, "hello you\n", "")
    code, _, err = xf("hello", "you", "--fail")
    assert code == 1 and err == "xf: it was to fail, and it did\n"
    code, _, err = xf("broken")
    assert code == 1 and "failed to import" in err
    monkeypatch.setenv("XF_PLUGINS_DENY", "hello")
    code, _, err = xf("hello", "you")
    assert code == 1 and "XF_PLUGINS_DENY" in err


def test_debug_shows_the_traceback(xf):
    with pytest.raises(ValueError, match="it was to fail"):
        xf("--debug", "hello", "you", "--fail")


def test_the_program_starts_without_torch_and_survives_a_closed_pipe(site):
    code = "import sys; from xf.cli import main; c = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(c)"
    variables = {**os.environ, "PYTHONPATH": str(site), "XF_CACHE": str(site / "cache")}
    for arguments in (["--help"], ["plugins"], ["doctor"], ["plugins", "why", "count"], ["hello", "x"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], env=variables, capture_output=True, text=True)
        assert done.returncode == 0, (arguments, done.stderr)
    piped = subprocess.run(
        f"{sys.executable} -m xf.cli plugins --json | head -1",
        shell=True,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert piped.stdout == "[\n" and "Traceback" not in piped.stderr


# --- run


def test_a_task_is_run_on_texts_files_and_standard_input(xf, site, tmp_path, monkeypatch):
    model = ["--model", str(site / "checkpoint")]
    assert xf("run", "count", "a a a", *model)[1] == "label  0\nscore  3.0000\n"
    table = xf("run", "count", "a a", "--labels", "2", *model)[1]
    assert [line.split() for line in table.splitlines()] == [
        ["label", "score"],
        ["-----", "------"],
        ["0", "2.0000"],
        ["1", "1.0000"],
    ]
    (tmp_path / "text.txt").write_text("a a a a")
    assert "4.0000" in xf("run", "count", str(tmp_path / "text.txt"), *model)[1]
    assert "4.0000" in xf("run", "count", f"@{tmp_path / 'text.txt'}", *model)[1]
    assert json.loads(xf("run", "count", '{"text": "a a"}', "--json", *model)[1])[0]["score"] == 2.0
    (tmp_path / "rows.csv").write_text("id,body\n1,a\n2,a a\n")
    rows = json.loads(
        xf("run", "count", "--input-file", str(tmp_path / "rows.csv"), "--column", "body", "--json", *model)[1]
    )
    assert [row[0]["score"] for row in rows] == [1.0, 2.0]
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n\na a\n"))
    out = xf("run", "count", "-", "--upper", "--batch-size", "2", *model)[1]
    assert out.split("\n")[0] == "# a" and out.count("LABEL") == 2


def test_what_cannot_be_run_is_one_line_and_exit_code_1(xf, site, tmp_path, monkeypatch):
    monkeypatch.setenv("XF_OFFLINE", "1")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    model = ["--model", str(site / "checkpoint")]
    for arguments, message in [
        (["run", "nothing-like-it", "a"], "No plugin offers task"),
        (["run", "count", "a", "--model", "/no/such/folder"], "/no/such/folder"),
        (["run", "count", *model], "no input"),
        (["run", "count", f"@{tmp_path / 'binary'}", *model], "is not text"),
        (["run", "count", "@/no/such/file", *model], "/no/such/file"),
        (["run", "count", "a", "--nonsense", "1", *model], "nonsense"),
        (["run", "count", "a", "--device", "nonsense", *model], "nonsense"),
        (["explain", str(tmp_path)], "no config.json"),
        (["explain", "no-organisation/no-model"], "no-organisation/no-model"),
    ]:
        code, _, err = xf(*arguments)
        assert code == 1 and message in err and err.count("\n") == 1 and err.startswith("xf: "), (arguments, err)


@pytest.mark.parametrize(
    "arguments, own, parameters",
    [
        (["run", "t", "x"], ["run", "t", "x"], {}),
        (["run", "t", "--top_k", "3", "x"], ["run", "t", "x"], {"top_k": 3}),
        (["run", "t", "--top-k=3", "--flag", "--json"], ["run", "t", "--json"], {"top_k": 3, "flag": True}),
        (["run", "t", "--names", '["a"]', "--model", "m"], ["run", "t", "--model", "m"], {"names": ["a"]}),
        (["run", "t", "--off", "False", "--text", "plain words"], ["run", "t"], {"off": False, "text": "plain words"}),
        (["run", "t", "--", "--not-an-option"], ["run", "t", "--", "--not-an-option"], {}),
    ],
)
def test_parameters_of_the_task_are_told_from_options(arguments, own, parameters):
    assert separate(arguments) == (own, parameters)


def test_results_are_made_readable():
    assert readable([{"generated_text": "words"}]) == "words"
    assert (
        readable([{"generated_text": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}]) == "a"
    )
    assert readable({"text": "x", "chunks": [1, 2]}) == "text    x\nchunks  [1, 2]"
    assert readable([[[0.5] * 384] * 12]) == "12 x 384 values: [0.5000, 0.5000, 0.5000, 0.5000, ...]"
    assert readable([[{"a": 1}], [{"a": 2}]]) == "1\n\n2"
    assert readable([{"box": {"x": 1, "y": 2}, "b": 0.25}, {"b": 1.0}]).splitlines()[2] == "x: 1, y: 2  0.2500"


def test_images_and_sounds_are_kept_in_a_folder_or_described(tmp_path):
    import wave

    import numpy as np
    import torch
    from PIL import Image

    result = {"depth": Image.new("L", (4, 3)), "tensor": torch.ones(2), "more": (np.float32(1), None, object)}
    described = _plain(result, None, "0")
    assert described["depth"] == "(image 4 x 3, L; --output FOLDER keeps it)" and described["tensor"] == [1.0, 1.0]
    json.dumps(described)
    kept = _plain({**result, "sound": {"audio": np.zeros((1, 160)), "sampling_rate": 16000}}, tmp_path / "out", "0")
    assert Image.open(kept["depth"]).size == (4, 3)
    with wave.open(kept["sound"]["audio"]) as file:
        assert (file.getframerate(), file.getnframes(), file.getnchannels()) == (16000, 160, 1)


# --- explain


def test_a_checkpoint_is_explained_without_reading_its_weights(xf, site):
    (site / "checkpoint" / "model.safetensors").rename(site / "weights")
    try:
        code, out, _ = xf("explain", str(site / "checkpoint"))
        found = json.loads(xf("explain", str(site / "checkpoint"), "--json")[1])
    finally:
        (site / "weights").rename(site / "checkpoint" / "model.safetensors")
    assert code == 0
    choices = {choice["what"]: choice for choice in found["choices"]}
    assert choices["model"]["name"] == "ClifamModel" and choices["model"]["distribution"] == "xf-clifam"
    assert choices["attention"]["name"] == "sdpa" and "eager" in choices["attention"]["rejected"]
    assert choices["dtype"]["name"] == "float32" and choices["quantizer"]["name"] == "none"
    assert choices["tokenizer"]["name"] == "PreTrainedTokenizerFast" and "tokenizers " in choices["tokenizer"]["reason"]
    assert all(choice["name"] in out for choice in found["choices"])


def test_a_model_explains_itself_as_it_was_loaded(xf, site):
    from xf import AutoModel

    model = AutoModel.from_pretrained(site / "checkpoint", attn_implementation="eager", torch_dtype="bfloat16")
    found = model.explain()
    assert found["attention"].name == "eager" and found["attention"].reason == "asked for"
    assert found["mask"].reason == "belongs to eager" and found["dtype"].name == "bfloat16"
    assert found["weights"].name == "safetensors" and "1 tensors used, 0 newly initialised" in found["weights"].reason
    with pytest.raises(KeyError, match="there are: config, model, attention"):
        found["nonsense"]


def test_what_cannot_be_loaded_is_explained_as_far_as_it_goes(xf, site, monkeypatch):
    monkeypatch.setenv("XF_PLUGINS_DENY", "clifam")
    code, out, _ = xf("explain", str(site / "checkpoint"))
    assert code == 1 and "PluginDisabledError" in out and "tokenizer" in out
    assert explain_checkpoint(str(site / "checkpoint"))["loading"].name == "fails"


def test_an_explanation_is_a_table_with_the_candidates_that_were_passed_over():
    found = Explanation("x", [Choice("attention", "sdpa", "xf-kernel", "1.0", "fast", {"flex": "not installed"})])
    assert str(found) == "x\n  attention  sdpa  xf-kernel 1.0  fast\n             not flex: not installed"
    assert json.loads(found.to_json())["choices"][0]["rejected"] == {"flex": "not installed"}
