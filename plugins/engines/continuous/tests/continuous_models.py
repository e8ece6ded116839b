"""Tiny models for the tests of continuous batching."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch

COMMON = {
    "vocab_size": 99, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "eos_token_id": 7, "pad_token_id": 0, "bos_token_id": 1,
}  # fmt: skip


def llama(**changes: Any) -> Any:
    from xf import LlamaConfig, LlamaForCausalLM

    return spread(LlamaForCausalLM(LlamaConfig(**{**COMMON, **changes})))


def qwen3() -> Any:
    from xf import Qwen3Config, Qwen3ForCausalLM

    return spread(Qwen3ForCausalLM(Qwen3Config(**COMMON, head_dim=8)))


def gemma3() -> Any:
    """With windows of 9 tokens in two of three layers."""
    from xf import Gemma3ForCausalLM, Gemma3TextConfig

    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    changes = {"num_hidden_layers": 3, "head_dim": 8, "sliding_window": 9, "layer_types": kinds}
    return spread(Gemma3ForCausalLM(Gemma3TextConfig(**{**COMMON, **changes})))


def gpt2(**changes: Any) -> Any:
    from xf import GPT2Config, GPT2LMHeadModel

    given = {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "eos_token_id": 7}
    return spread(GPT2LMHeadModel(GPT2Config(**{**given, "bos_token_id": 1, **changes})))


FAMILIES: dict[str, Callable[[], Any]] = {"llama": llama, "gpt2": gpt2, "gemma3": gemma3, "qwen3": qwen3}


def spread(model: Any) -> Any:
    """Weights large enough that texts differ from each other and attention matters."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3, generator=generator)
    return model.eval()


def ragged(count: int, longest: int, seed: int = 0, shared: int = 0) -> list[list[int]]:
    """Prompts of 1 to `longest` tokens, every third begun by the same `shared` tokens."""
    chance = random.Random(seed)
    start = [chance.randrange(8, 99) for _ in range(shared)]
    return [
        (start if index % 3 == 0 else []) + [chance.randrange(8, 99) for _ in range(chance.randint(1, longest))]
        for index in range(count)
    ]


def one_by_one(model: Any, prompts: list[list[int]], **settings: Any) -> list[list[int]]:
    """What `generate` answers to each prompt by itself."""
    return [model.generate(torch.tensor([p]), **settings)[0, len(p) :].tolist() for p in prompts]
