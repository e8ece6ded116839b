"""How fast a 1 GB safetensors model loads, against mapping and assigning the raw tensors, and against the reference.

python kernel/bench/bench_load.py [--gigabytes 1] [--reference PYTHON] [--json FILE]

Each way runs in a process of its own, alternating, after its imports; the best of the runs counts. "load" is until the
model can be used, "load + read" until every page of its parameters has been read once (from the disk cache). "raw" maps
and assigns to modules that are there; "raw + build" builds them on meta first; the others also read the config, plan
and check. "peak" is the growth of resident memory up to the model being there, file pages included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from measures import Measure, finish, reference_python

RUNS = 5

COMMON = """
import gc, json, resource, sys, time
import torch
from torch import nn
torch.set_num_threads(1)
folder = sys.argv[1]

def resident():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024

def body(module, config):
    module.embed = nn.Embedding(config.vocab_size, config.hidden_size)
    def layer():
        wide = 4 * config.hidden_size
        parts = {name: nn.Linear(config.hidden_size, config.hidden_size, bias=False) for name in "qkvo"}
        parts |= {"up": nn.Linear(config.hidden_size, wide), "down": nn.Linear(wide, config.hidden_size)}
        return nn.ModuleDict({**parts, "norm": nn.LayerNorm(config.hidden_size)})
    module.layers = nn.ModuleList(layer() for _ in range(config.num_hidden_layers))

def measured(load):
    gc.collect()  # what importing torch left behind; else one of the ways, by chance, pays for a pass over all of it
    before = resident()[0]
    start = time.perf_counter()
    model = load()
    loaded = time.perf_counter() - start
    peak = resident()[1] - before
    for parameter in model.parameters():
        parameter.detach().view(torch.uint8).view(-1)[::4096].sum()
    print(json.dumps({"load": loaded, "read": time.perf_counter() - start, "peak": peak}))
"""

XF = """
from xf.interfaces.config import PretrainedConfig
from xf.interfaces.model import PreTrainedModel
import xf.checkpoint.load, xf.checkpoint.save
class BenchConfig(PretrainedConfig):
    model_type = "bench"
    vocab_size: int = 32000
    hidden_size: int = 1024
    num_hidden_layers: int = 1
class BenchModel(PreTrainedModel):
    config_class = BenchConfig
    def __init__(self, config):
        super().__init__(config)
        body(self, config)
        self.post_init()
"""

WAYS = {
    "save": XF
    + """
layers = max(1, round((float(sys.argv[2]) * 1e9 / 4 - 32000 * 1024) / (12 * 1024 * 1024)))
BenchModel(BenchConfig(num_hidden_layers=layers)).save_pretrained(folder, max_shard_size="100GB")
""",
    "raw": """
from types import SimpleNamespace
from safetensors.torch import load_file
config = SimpleNamespace(**{"vocab_size": 32000, "hidden_size": 1024, **json.load(open(folder + "/config.json"))})
def modules(layers):
    with torch.device("meta"):
        model = nn.Module()
        body(model, SimpleNamespace(**{**vars(config), "num_hidden_layers": layers}))
    return model
built = modules(int(sys.argv[2]) * config.num_hidden_layers or 1)  # the first use of meta imports much of torch
def load():
    model = built if sys.argv[2] == "1" else modules(config.num_hidden_layers)
    for name, tensor in load_file(folder + "/model.safetensors").items():
        path, _, key = name.rpartition(".")
        model.get_submodule(path)._parameters[key] = nn.Parameter(tensor)
    return model
measured(load)
""",
    "xf": XF + "measured(lambda: BenchModel.from_pretrained(folder))",
    "reference": """
from transformers import PretrainedConfig, PreTrainedModel
class BenchConfig(PretrainedConfig):
    model_type = "bench"
    def __init__(self, vocab_size=32000, hidden_size=1024, num_hidden_layers=1, **kwargs):
        self.vocab_size, self.hidden_size, self.num_hidden_layers = vocab_size, hidden_size, num_hidden_layers
        super().__init__(**kwargs)
class BenchModel(PreTrainedModel):
    config_class = BenchConfig
    def __init__(self, config):
        super().__init__(config)
        body(self, config)
        self.post_init()
measured(lambda: BenchModel.from_pretrained(folder))
""",
}


def run(way: str, python: str, *arguments: str) -> dict[str, float]:
    """One measurement in a process of its own."""
    code = COMMON + WAYS[way]
    result = subprocess.run(
        [python, "-W", "ignore", "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1]) if result.stdout.strip() else {}
    return found


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--reference", help="the Python of an environment that has the reference")
    options, _ = parser.parse_known_args()  # --json is read by `finish`
    options.reference = options.reference or reference_python("5")
    ways = {"raw": sys.executable, "raw + build": sys.executable, "xf": sys.executable}
    if options.reference:
        ways["reference"] = str(options.reference)
    with tempfile.TemporaryDirectory() as folder:
        run("save", sys.executable, folder, str(options.gigabytes))
        found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(RUNS):
            for way, python in ways.items():
                found[way].append(run(way.split()[0], python, folder, str(int(way == "raw"))))
    best = {way: {key: min(r[key] for r in runs) for key in runs[0]} for way, runs in found.items()}
    print(f"{'':12} {'load':>9} {'load + read':>12} {'peak MB':>9}   of raw, of raw + build (load + read)")
    for way, result in best.items():
        ratios = [result["read"] / best[way]["read"] for way in ("raw", "raw + build")]
        result["of_raw"], result["of_raw_and_build"] = ratios
        times = f"{result['load'] * 1e3:7.1f}ms {result['read'] * 1e3:10.1f}ms {result['peak']:9.0f}"
        print(f"{way:12} {times}   {ratios[0]:6.2f} {ratios[1]:6.2f}")
    ours = best["xf"]
    measures = [
        Measure(
            f"{options.gigabytes:g} GB of safetensors, loaded and read once",
            ours["read"], "s", base=best["raw + build"]["read"], base_name="map, build, assign", target=1.2,
        )
    ]  # fmt: skip
    if "reference" in best:
        measures.append(
            Measure(
                "its peak memory", ours["peak"], "MB", base=best["reference"]["peak"], base_name="reference", target=1.0
            )
        )
    finish(measures)


if __name__ == "__main__":
    main()
