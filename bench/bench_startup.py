"""Cold starts: importing xf among many plugins, discovery, a tiny BERT from nothing to a vector."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from measures import Measure, finish, output_of, reference_python, seconds_of

# 4 layers of 64: the arithmetic takes a millisecond, so that what is measured is the start
BERT = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 500,
}


def fake_plugins(folder: Path, count: int) -> None:
    """`count` distributions with eight entry points each, metadata only: nothing of them can be imported."""
    for i in range(count):
        info = folder / f"xf_plugin_fake{i}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: xf-plugin-fake{i}\nVersion: 1.0\nRequires-Dist: xf-kernel>=1.0,<2\n"
        )
        groups = ("config", "model.base", "model.causal_lm", "tokenizer", "processor", "task", "logits", "callback")
        lines = [f"[xf.v1.{group}]\nfake{i} = xf_plugin_fake{i}.m:Fake{i}{n}\n" for n, group in enumerate(groups)]
        (info / "entry_points.txt").write_text("\n".join(lines))


def startup(measures: list[Measure]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fake_plugins(Path(folder), 200)
        prefix = f"import sys; sys.path.append({folder!r}); "
        bare = seconds_of([sys.executable, "-c", prefix], repeat=15)
        ours = seconds_of([sys.executable, "-c", prefix + "import xf"], repeat=15)
    measures.append(
        Measure("import xf, 200 plugins installed, above bare Python", (ours - bare) * 1e3, "ms", target=60)
    )
    code = "import sys, xf; assert not {'torch', 'numpy'} & set(sys.modules)"
    seconds_of([sys.executable, "-c", code], repeat=1)


def discovery(measures: list[Measure]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fake_plugins(Path(folder), 500)
        code = (
            f"import sys, time; sys.path.append({folder!r})\n"
            "import xf; from xf.plugins import registry\n"
            "begin = time.perf_counter(); n = len(registry('config').names()); print(time.perf_counter() - begin)\n"
            "assert n >= 500"
        )
        seconds = sorted(float(output_of(sys.executable, code)) for _ in range(9))[4]
    measures.append(Measure("discovery of 500 plugins from the cache", seconds * 1e3, "ms", target=10))


MAKE = (
    "import sys, json; from xf import BertConfig, BertModel\n"
    "BertModel(BertConfig(**json.loads(sys.argv[1]))).save_pretrained(sys.argv[2])"
)
LOAD = (
    "import sys, torch; from {library} import AutoModel\n"
    "print(AutoModel.from_pretrained(sys.argv[1])(torch.tensor([[1, 2, 3]])).last_hidden_state[0, 0, :3].tolist())"
)


def cold_bert(measures: list[Measure]) -> None:
    import json

    with tempfile.TemporaryDirectory() as folder:
        output_of(sys.executable, MAKE, json.dumps(BERT), folder)
        torch_alone = seconds_of([sys.executable, "-c", "import torch"])
        ours = seconds_of([sys.executable, "-c", LOAD.format(library="xf"), folder])
        measures.append(
            Measure("tiny BERT, process start to vector, above torch's import", ours - torch_alone, "s", target=0.3)
        )
        reference = reference_python("5")
        if reference:
            theirs_torch = seconds_of([reference, "-c", "import torch"])
            theirs = seconds_of([reference, "-c", LOAD.format(library="transformers"), folder])
            measures.append(Measure("the same in the reference", theirs - theirs_torch, "s"))


def main() -> None:
    measures: list[Measure] = []
    startup(measures)
    discovery(measures)
    cold_bert(measures)
    finish(measures)


if __name__ == "__main__":
    main()
