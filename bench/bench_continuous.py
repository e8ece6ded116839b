"""Continuous batching: useful tokens per second on 64 ragged requests, and the memory that takes.

Against the reference's `generate` on the padded batch, and its own `generate_batch`; a model of 9 M parameters with
random weights, greedy, float32, two threads. Tokens behind a request's own length are not useful. The three take turns;
the figure is each one's shortest run.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

from measures import Measure, finish, output_of, reference_python
from sides import Side, take_turns

# 9.4 M parameters, half of them in the embeddings, as is common for models of this size
MODEL = {
    "vocab_size": 8000, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 8,
    "num_key_value_heads": 8, "max_position_embeddings": 512, "tie_word_embeddings": False, "bos_token_id": 1,
    "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
POOL_TOKENS = 16384  # the load needs at most 64 * 384
BYTES_OF_TOKEN = 2 * 4 * MODEL["hidden_size"] * MODEL["num_hidden_layers"]  # type: ignore[operator]

MAKE = """
import sys, json, torch; from xf import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
LlamaForCausalLM(LlamaConfig(**json.loads(sys.argv[1]))).save_pretrained(sys.argv[2])
"""
LOAD = """
import sys, json, resource, torch
from {library} import AutoModelForCausalLM, GenerationConfig
model = AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()
model.generation_config.eos_token_id = None
model.generation_config.pad_token_id = 0
requests = json.loads(open(sys.argv[2]).read())
longest = max(length for _, length in requests)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def megabytes():
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
"""
OURS = """
from xf import ContinuousBatchingConfig
settings = ContinuousBatchingConfig(page_size=16, num_blocks=int(sys.argv[3]) // 16)
def run():
    with model.init_continuous_batching(continuous_batching_config=settings) as manager:
        names = [manager.add_request(prompt, max_new_tokens=length) for prompt, length in requests]
        outputs = [manager.get_result(name) for name in names]
        used = manager.statistics()
    assert all(len(output.generated_tokens) == length for output, (_, length) in zip(outputs, requests))
    return [[output.generated_tokens for output in outputs], megabytes(), used]
"""
ALONE = """
def run():
    answers = []
    for prompt, length in requests:
        ids = torch.tensor([prompt])
        answers.append(model.generate(ids, max_new_tokens=length, do_sample=False)[0, len(prompt):].tolist())
    return [answers]
"""
PADDED = """
width = max(len(prompt) for prompt, _ in requests)
ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt, _ in requests])
mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt, _ in requests])
def run():
    out = model.generate(ids, attention_mask=mask, max_new_tokens=longest, do_sample=False)[:, width:].tolist()
    return [[row[:length] for row, (_, length) in zip(out, requests)], megabytes()]
"""
THEIRS = """
def run():
    # its generate_batch has one length for all, its manager one per request
    from transformers import ContinuousBatchingConfig
    settings = GenerationConfig(do_sample=False, max_new_tokens=longest, eos_token_id=-1, pad_token_id=0)
    with model.continuous_batching_context_manager(settings, warmup=False) as manager:
        names = [manager.add_request(prompt, max_new_tokens=length) for prompt, length in requests]
        outputs = {}
        while len(outputs) < len(names):
            output = manager.get_result(timeout=1)
            if output is not None:
                outputs[output.request_id] = output
    assert not any(output.error for output in outputs.values()), outputs
    return [[list(outputs[name].generated_tokens) for name in names], megabytes()]
"""


def load(seed: int = 0) -> list[tuple[list[int], int]]:
    """64 requests: (prompt of 8 to 256 tokens, tokens to generate, 8 to 128)."""
    chance = random.Random(seed)
    return [
        ([chance.randrange(3, 8000) for _ in range(chance.randint(8, 256))], chance.randint(8, 128)) for _ in range(64)
    ]


def main() -> None:
    requests = load()
    useful = sum(length for _, length in requests)
    with tempfile.TemporaryDirectory() as folder:
        output_of(sys.executable, MAKE, json.dumps(MODEL), folder)
        file = Path(folder, "requests.json")
        file.write_text(json.dumps(requests))
        given = (folder, str(file), str(POOL_TOKENS))
        sides = {
            "xf": Side("xf", sys.executable, LOAD.format(library="xf") + OURS, *given),
        }
        alone = Side("one by one", sys.executable, LOAD.format(library="xf") + ALONE, *given)
        expected = alone.ask()[0]
        alone.close()
        python = reference_python("5")
        if python is not None:
            for name, code in (("padded generate", PADDED), ("generate_batch", THEIRS)):
                sides[name] = Side(name, python, LOAD.format(library="transformers") + code, *given)
        results = take_turns(sides, 2)
    assert results["xf"][0] == expected, "batched and one by one differ"
    ours, pool = sides["xf"].best, POOL_TOKENS * BYTES_OF_TOKEN / 1e6
    print(results["xf"][2], {name: result[1] for name, result in results.items() if len(result) > 1}, file=sys.stderr)
    measures = [Measure("continuous batching, 64 ragged requests", useful / ours, "tokens/s")]
    # seconds, so that less is better: 2 times as many tokens per second is half of the time
    for name, target in (("padded generate", 1 / 2), ("generate_batch", 1 / 1.3)):
        if name in sides:
            label = f"time for 64 ragged requests, {useful} tokens"
            measures.append(Measure(label, ours, "s", sides[name].best, f"reference's {name}", target))
    measures.append(Measure("its memory beyond the model", results["xf"][1], "MB", pool, "its pool", 1.5))
    finish(measures)


if __name__ == "__main__":
    main()
