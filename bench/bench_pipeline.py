"""2,000 ragged texts through pipeline("text-classification") with a small BERT, against the reference at its best.

python bench/bench_pipeline.py [--texts 2000] [--json FILE]

Lengths are those of natural text (log-normal, 3 to 250 words). Each library runs in a process of its own that loads the
same random checkpoint; runs alternate and the best counts. Figures are seconds of processor time on one thread, which
other work on the machine does not change. The reference runs every batch size of BATCHES and its best is the base;
ours runs one. The labels must be the same.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measures import Measure, finish, reference_python

RUNS = 2
BATCHES = (1, 8, 32, 128)
OURS = 32

CHILD = """
import json, sys, time
import torch
torch.set_num_threads(1)
if sys.argv[1] == "xf":
    from xf import pipeline
else:
    from transformers import pipeline
texts = json.load(open(sys.argv[2] + "/texts.json"))
pipe = pipeline("text-classification", model=sys.argv[2], device="cpu")
results = {}
for batch in map(int, sys.argv[3].split(",")):
    pipe(texts[:20], batch_size=batch)
    begin = time.process_time()
    found = pipe(texts, batch_size=batch, truncation=True)
    results[batch] = time.process_time() - begin
labels = [result["label"] for result in found]
print(json.dumps({"seconds": results, "labels": labels}))
"""


def make(folder: Path, count: int) -> None:
    """A checkpoint of BERT small (4 layers of 512, as google/bert_uncased_L-4_H-512_A-8) and texts of its words."""
    import torch

    from xf import BertConfig, BertForSequenceClassification, BertTokenizerFast

    rng = random.Random(0)
    words = sorted({"".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(3000)})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *words]) + "\n", "utf-8")
    torch.manual_seed(0)
    sizes = {"hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 2048}
    config = BertConfig(vocab_size=len(words) + len(special), num_labels=3, initializer_range=0.1, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    lengths = [min(250, max(3, int(rng.lognormvariate(3, 0.8)))) for _ in range(count)]
    texts = [" ".join(rng.choices(words, k=length)) for length in lengths]
    (folder / "texts.json").write_text(json.dumps(texts), "utf-8")


def run(python: Path | str, library: str, folder: Path, batches: tuple[int, ...]) -> dict[str, Any]:
    command = [str(python), "-c", CHILD, library, str(folder), ",".join(map(str, batches))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{library} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=2000)
    options, _ = parser.parse_known_args()
    reference, ours, theirs = reference_python("5"), [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, options.texts)
        for _ in range(RUNS):
            mine = run(sys.executable, "xf", folder, (OURS,))
            ours.append(mine["seconds"][str(OURS)])
            if reference is None:
                continue
            other = run(reference, "transformers", folder, BATCHES)
            if other["labels"] != mine["labels"]:
                sys.exit("the labels differ: these are not the same answers")
            for batch, seconds in other["seconds"].items():
                theirs[batch] = min(seconds, theirs.get(batch, seconds))
    best = min(theirs, key=theirs.__getitem__, default=None)
    title = f"{options.texts} ragged texts, BERT of 4 layers of 512, batches of {OURS}"
    base = None if best is None else theirs[best]
    against = "" if best is None else f"reference, batches of {best}"
    target = None if best is None else round(1 / 1.5, 3)
    measures = [Measure(title, min(ours), "s", base=base, base_name=against, target=target)]
    measures += [Measure(f"reference, batches of {b}", seconds, "s") for b, seconds in theirs.items() if b != best]
    finish(measures)


if __name__ == "__main__":
    main()
