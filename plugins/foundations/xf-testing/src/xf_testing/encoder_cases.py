"""Cases of `xf_testing.reference` for text encoders with BERT's inputs: every head, padding, decoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .tiny import tiny_floats, tiny_ids

CONFIG = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
}
STATES = {"output_hidden_states": True, "output_attentions": True}
B, T = 2, 8


def padded_text(pad_token_id: int) -> tuple[dict[str, Tensor], Tensor]:
    """(inputs, labels): two texts of CONFIG's vocabulary, the second padded; labels at a third of the tokens."""
    ids = tiny_ids((B, T), CONFIG["vocab_size"])
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    labels = torch.where(mask.bool() & (ids % 3 == 0), ids, -100)
    return {"input_ids": torch.where(mask.bool(), ids, pad_token_id), "attention_mask": mask}, labels


def head_cases(
    family: str, pad_token_id: int = 1, config: Mapping[str, Any] | None = None, base: Mapping[str, Any] = CONFIG
) -> dict[str, dict[str, Any]]:
    """Cases for the body and the heads that most encoders have, by name.

    Args:
        family: what the class names begin with, "Roberta".
        pad_token_id: stands at padding.
        config: further fields.
        base: the sizes, for a family that calls them otherwise.
    """

    def case(head: str, inputs: dict[str, Tensor], more: dict[str, Any] | None = None, **rest: Any) -> dict[str, Any]:
        fields = {**base, **(config or {}), **(more or {})}
        names = {"config_class": f"{family}Config", "model_class": f"{family}{head}"}
        return {**names, "config": fields, "inputs": inputs, **rest}

    text, labels = padded_text(pad_token_id)
    ids = tiny_ids((B, T), CONFIG["vocab_size"])
    choices = torch.stack([ids, ids.flip(1)], 1)
    span = {"start_positions": torch.tensor([3, 1]), "end_positions": torch.tensor([5, 30])}
    several = {"num_labels": 3, "problem_type": "multi_label_classification"}
    classify, one = "ForSequenceClassification", {**text, "labels": torch.tensor([2, 0])}
    off = torch.tensor([[1.0, 0, 1, 0.5], [0, 1, 1, 1]])
    return {
        "model": case("Model", text, call=STATES, gradients=True),
        "embedded": case("Model", {"inputs_embeds": tiny_floats((B, T, 16))}, gradients=True),
        "heads_off": case("Model", {**text, "head_mask": off}, call=STATES),
        "masked_lm": case("ForMaskedLM", {**text, "labels": labels}, call=STATES, gradients=True),
        "one_of_three": case(classify, one, {"num_labels": 3}, gradients=True, call=STATES),
        "several": case(classify, {**text, "labels": tiny_floats((B, 3)).sigmoid()}, several),
        "value": case(classify, {**text, "labels": tiny_floats((B,))}, {"num_labels": 1}),
        "token": case("ForTokenClassification", {**text, "labels": ids % 4}, {"num_labels": 4}, gradients=True),
        "answer": case("ForQuestionAnswering", {**text, **span}, gradients=True),
        "choice": case("ForMultipleChoice", {"input_ids": choices, "labels": torch.tensor([1, 0])}, gradients=True),
    }


def encoder_cases(
    family: str, pad_token_id: int = 1, config: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """`head_cases`, and token types, relative positions and the causal model, alone and reading an encoder."""
    cases = head_cases(family, pad_token_id, config)
    text, labels = padded_text(pad_token_id)
    types = (torch.arange(T) > 3).long().expand(B, -1).contiguous()
    states = {
        "encoder_hidden_states": tiny_floats((B, 6, 16)),
        "encoder_attention_mask": (torch.arange(6) < 4).long().expand(B, -1).contiguous(),
    }

    def model(head: str, inputs: dict[str, Tensor], **fields: Any) -> dict[str, Any]:
        return {**cases["model"], "model_class": f"{family}{head}", "inputs": inputs, "config": fields}

    base = cases["model"]["config"]
    decoder = {**base, "is_decoder": True}
    greedy = {"max_new_tokens": 9, "do_sample": False}
    reads = model("ForCausalLM", {**text, **states}, **decoder, add_cross_attention=True)
    return {
        **cases,
        "pair": model("Model", {**text, "token_type_ids": types}, **base),
        "relative_key": model("Model", text, **base, position_embedding_type="relative_key"),
        "relative_key_query": model("Model", text, **base, position_embedding_type="relative_key_query"),
        "causal": model("ForCausalLM", {**text, "labels": labels}, **decoder),
        "reads_encoder": {**reads, "call": {**STATES, "use_cache": False}},
        "greedy": {
            **model("ForCausalLM", {"input_ids": text["input_ids"][:, :4]}, **decoder),
            "generate": greedy,
        },
    }
