"""Runs single parts of generation (processors, stopping criteria, scorers, constraints) on drawn numbers.

The same lines run with xf and with the reference. A case: {"kind": processor | criterion | scorer | constraint, ...}.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROWS, TOKENS, SIZE = 4, 9, 40  # rows, tokens so far, vocabulary


def drawn(seed: int, *shape: int) -> Tensor:
    """Normal numbers, three wide, equal everywhere."""
    return torch.from_numpy(3 * np.random.default_rng(seed).standard_normal(shape)).float()


def drawn_ids(seed: int, *shape: int, below: int = SIZE) -> Tensor:
    """Token ids, equal everywhere."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, below, shape))


def processor(library: Any, case: dict[str, Any], model: Any) -> dict[str, Tensor]:
    """Scores after the processor `name`, for texts of several lengths (it may keep state from call to call)."""
    arguments = dict(case.get("arguments", {}))
    for name in ("encoder_input_ids", "unconditional_ids"):
        if name in arguments:
            arguments[name] = torch.tensor(arguments[name])
    if "sequence_bias" in arguments:
        arguments["sequence_bias"] = {tuple(tokens): bias for tokens, bias in arguments["sequence_bias"]}
    if case.get("needs_model"):
        arguments["model"] = model
    if "timestamps" in case:
        arguments["generate_config"] = library.GenerationConfig(**case["timestamps"])
    allowed = arguments.pop("allowed", None)
    if allowed:
        arguments["prefix_allowed_tokens_fn"] = lambda row, ids: allowed[(row + len(ids)) % len(allowed)]
        arguments["num_beams"] = 2
    made = getattr(library, case["name"])(**arguments)
    ids = drawn_ids(case.get("seed", 1), ROWS, TOKENS, below=case.get("below", 6))
    for place, token in case.get("set", []):
        ids[:, place] = token
    found = {}
    for step, length in enumerate(case.get("lengths", (TOKENS - 2, TOKENS - 1, TOKENS))):
        scores = drawn(step, ROWS, SIZE)
        scores[1, 3] = case.get("spoil", float(scores[1, 3]))
        more = {}
        if "current_tokens" in case:
            more = {"current_tokens": torch.tensor(case["current_tokens"]), "beam_group_idx": case["group"]}
        texts = ids[: ROWS // case.get("rows_share", 1), :length]
        found[str(step)] = made(texts, scores, **more)
    return found


def criterion(library: Any, case: dict[str, Any], tokenizer: Any) -> dict[str, Tensor]:
    """Which rows the criterion `name` ends, for texts of every length."""
    arguments = dict(case["arguments"])
    if "stop_strings" in arguments:
        arguments["tokenizer"] = tokenizer
    made = getattr(library, case["name"])(**arguments)
    ids = drawn_ids(case.get("seed", 1), 12, TOKENS, below=case.get("below", 12))
    return {str(n): made(ids[:, :n], drawn(n, 12, SIZE)) for n in range(1, TOKENS + 1)}


def make_constraints(library: Any, given: list[dict[str, Any]]) -> list[Any]:
    """Constraint objects of {"phrase": ids} and {"any": lists of ids}."""
    kinds = {"phrase": library.PhrasalConstraint, "any": library.DisjunctiveConstraint}
    return [kinds[kind](value) for one in given for kind, value in one.items()]


def scorer(library: Any, case: dict[str, Any]) -> dict[str, Tensor]:
    """A loop of process and finalize of a beam scorer on drawn scores."""
    batch, beams, groups = case["batch"], case["beams"], case.get("groups", 1)
    size = beams // groups
    arguments = {**case["arguments"], "batch_size": batch, "num_beams": beams, "device": "cpu"}
    prompt = 2
    if "constraints" in case:
        made = library.ConstrainedBeamSearchScorer(
            constraints=make_constraints(library, case["constraints"]), max_length=12, **arguments
        )
    else:
        made = library.BeamSearchScorer(num_beam_groups=groups, max_length=12, **arguments)
    ids, sums = drawn_ids(5, batch * size, prompt), torch.zeros(batch * size)
    ends = {"pad_token_id": 0, "eos_token_id": case["ends"], "decoder_prompt_len": prompt}
    found = {}
    for step in range(7):
        logits = drawn(case["seed"] + step, batch * size, SIZE).log_softmax(-1) + sums[:, None]
        best, flat = logits.view(batch, -1).topk((1 + len(case["ends"])) * size)
        more = {"scores_for_all_vocab": logits} if "constraints" in case else {"group_index": case.get("group", 0)}
        picked = made.process(ids, best, flat % SIZE, flat // SIZE, **ends, **more)
        sums = picked["next_beam_scores"]
        ids = torch.cat([ids[picked["next_beam_indices"]], picked["next_beam_tokens"][:, None]], dim=1)
        found.update({f"{step}.{name}": value for name, value in picked.items()})
        found[f"{step}.done"] = torch.tensor(bool(made.is_done))
        if made.is_done:
            break
    if groups == 1:
        last = made.finalize(ids, sums, picked["next_beam_tokens"], picked["next_beam_indices"], 12, **ends)
        found.update({f"end.{name}": last[name] for name in ("sequences", "sequence_scores")})
    return found


def constraint(library: Any, case: dict[str, Any]) -> dict[str, Tensor]:
    """How a list of constraints goes on with drawn tokens: what was added, its bank, what it asks for."""
    state = library.ConstraintListState(make_constraints(library, case["constraints"]))
    draw, rows = random.Random(case["seed"]), []
    tokens = [*case["tokens"], 39]
    for _ in range(14):
        complete, stepped = state.add(draw.choice(tokens))
        asked = state.advance() or []
        rows.append([complete, stepped, state.get_bank(), state.completed, *sorted(set(asked)), *[-1] * 8][:10])
        twin = state.copy()
        assert twin.get_bank() == state.get_bank()
    return {"states": torch.tensor(rows, dtype=torch.long)}
