"""A step of training by the trainer against the same step in a bare torch loop, and what importing the trainer costs.

python plugins/foundations/xf-training/bench/bench_training.py [--json FILE]

A BERT of 4 layers of 128, batches of 16 rows of 64 tokens, AdamW, gradients clipped, a linear schedule, one process per
way, alternating; the best median of the runs counts. "peak" is the largest resident memory of the whole process,
so that libraries count alike whether they are imported before the model or while training.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "bench"))
from measures import Measure, finish, reference_python

RUNS, STEPS, WARM = 4, 60, 10

COMMON = """
import json, random, statistics, sys, time
import torch
torch.set_num_threads(2)
def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))
STEPS = int(sys.argv[1])
draw = random.Random(0)
rows = [{"input_ids": [draw.randrange(100, 1000) for _ in range(64)], "attention_mask": [1] * 64, "labels": i % 2}
        for i in range(16 * STEPS)]
sizes = dict(vocab_size=1000, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=512)
def report(times):
    steps = [b - a for a, b in zip(times, times[1:])]
    print(json.dumps({"step": statistics.median(steps[int(sys.argv[2]):]), "peak": memory("VmHWM")}))
"""

TRAINER = """
from {library} import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments
torch.manual_seed(0)
model = BertForSequenceClassification(BertConfig(**sizes))
times = []
class Watch(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        times.append(time.perf_counter())
args = TrainingArguments(sys.argv[3], max_steps=STEPS, per_device_train_batch_size=16, report_to="none", use_cpu=True,
    save_strategy="no", disable_tqdm=True, logging_steps=1000)
Trainer(model, args, train_dataset=rows, callbacks=[Watch]).train()
report(times)
"""

BARE = """
from xf import BertConfig, BertForSequenceClassification
torch.manual_seed(0)
model = BertForSequenceClassification(BertConfig(**sizes)).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
def collate(part):
    return {name: torch.tensor([row[name] for row in part]) for name in part[0]}
loader = torch.utils.data.DataLoader(rows, batch_size=16, shuffle=True, collate_fn=collate)
times = []
for batch in loader:
    loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    times.append(time.perf_counter())
report(times)
"""

IMPORT = "import time, torch; a = time.perf_counter(); from {} import Trainer; print(time.perf_counter() - a)"


def run(python: str, code: str, *arguments: str) -> str:
    """The last line that a child process prints."""
    command = [python, "-W", "ignore", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def main() -> None:
    """Measure, print a table, write JSON."""
    reference = reference_python("5")
    ours = TRAINER.replace("{library}", "xf")
    ways = {"bare": (sys.executable, BARE), "xf": (sys.executable, ours)}
    imports = {"xf": sys.executable}
    if reference:
        ways["reference"] = (str(reference), TRAINER.replace("{library}", "transformers"))
        imports["transformers"] = str(reference)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS):
            for way, (python, code) in ways.items():
                found[way].append(json.loads(run(python, COMMON + code, str(STEPS), str(WARM), folder)))
    best = {way: {key: min(r[key] for r in runs) for key in runs[0]} for way, runs in found.items()}
    costs = {
        name: statistics.median(float(run(python, IMPORT.format(name))) for _ in range(3))
        for name, python in imports.items()
    }
    bare, step = best["bare"], best["xf"]["step"] * 1e3
    measures = [
        Measure("a training step", step, "ms", base=bare["step"] * 1e3, base_name="bare torch loop", target=1.05),
        Measure("from xf import Trainer, above torch's import", costs["xf"], "s", target=0.3),
    ]
    if reference:
        measures += [
            Measure(
                "the same step in the reference", best["reference"]["step"] * 1e3, "ms", bare["step"] * 1e3, "bare"
            ),
            Measure("its peak memory", best["xf"]["peak"], "MB", best["reference"]["peak"], "reference", 1.0),
            Measure("the same import in the reference", costs["transformers"], "s"),
        ]
    finish(measures)


if __name__ == "__main__":
    main()
