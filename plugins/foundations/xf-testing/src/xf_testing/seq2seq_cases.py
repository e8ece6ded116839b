"""Cases of `xf_testing.reference` for encoder-decoders with BART's inputs: every head, padding, decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .tiny import tiny_floats, tiny_ids

CONFIG = {
    "vocab_size": 60,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_position_embeddings": 40,
}
STATES = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}
B, S, T = 2, 9, 6


def padded_text(pad: int, end: int) -> tuple[dict[str, Tensor], Tensor]:
    """(the encoder's inputs, labels): two texts of CONFIG's vocabulary that end, the second padded."""
    ids = tiny_ids((B, S), CONFIG["vocab_size"], low=4)
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    ids[0, -1] = ids[1, 5] = end
    labels = tiny_ids((B, T), CONFIG["vocab_size"], seed=1, low=4)
    labels[0, -1] = labels[1, 3] = end
    labels[1, 4:] = -100
    return {"input_ids": torch.where(mask.bool(), ids, pad), "attention_mask": mask}, labels


def head_cases(
    family: str,
    heads: Sequence[str],
    config: Mapping[str, Any],
    base: Mapping[str, Any] = CONFIG,
    lm: str = "ForConditionalGeneration",
) -> dict[str, dict[str, Any]]:
    """Cases for the base model, the text-to-text head and `heads`, by name.

    Args:
        family: what the class names begin with, "Bart".
        heads: further ones: "ForCausalLM", "ForSequenceClassification", "ForQuestionAnswering".
        config: further fields, pad_token_id and eos_token_id among them.
        base: the sizes, for a family that calls them otherwise.
        lm: how the text-to-text head is called.
    """
    fields = {**base, **config}

    def case(
        head: str, inputs: dict[str, Tensor], more: Mapping[str, Any] | None = None, **rest: Any
    ) -> dict[str, Any]:
        names = {"config_class": f"{family}Config", "model_class": f"{family}{head}"}
        return {**names, "config": {**fields, **(more or {})}, "inputs": inputs, **rest}

    text, labels = padded_text(fields["pad_token_id"], fields["eos_token_id"])
    decoder = {"decoder_input_ids": tiny_ids((B, T), 60, seed=2, low=4)}
    left = {"decoder_attention_mask": torch.tensor([[1] * T, [0, 0] + [1] * (T - 2)])}
    embeds = {"inputs_embeds": tiny_floats((B, S, 16)), "decoder_inputs_embeds": tiny_floats((B, T, 16), seed=3)}
    off = {
        "head_mask": torch.tensor([[1.0, 0, 1, 0.5], [0, 1, 1, 1]]),
        "decoder_head_mask": torch.tensor([[0.0, 1], [1, 0.5]]),
        "cross_attn_head_mask": torch.tensor([[1.0, 0.2], [0, 1]]),
    }
    cases = {
        "model": case("Model", {**text, **decoder}, call=STATES, gradients=True),
        "left": case("Model", {**text, **decoder, **left}, call=STATES),
        "embedded": case("Model", embeds, {"scale_embedding": True}, call=STATES),
        "scaled": case("Model", {**text, **decoder}, {"scale_embedding": True, "num_hidden_layers": 2}, call=STATES),
        "heads_off": case("Model", {**text, **decoder, **off}, call=STATES),
        "lm": case(lm, {**text, "labels": labels}, call=STATES, gradients=True),
        "relu": case(lm, {**text, "labels": labels}, {"activation_function": "relu", "decoder_layers": 1}, call=STATES),
        "greedy": case(lm, text, generate={"max_new_tokens": 12, "do_sample": False, "num_beams": 1}),
        "beams": case(lm, text, generate={"max_new_tokens": 10, "num_beams": 3, "num_return_sequences": 2}),
        "several_beams": case(
            lm, text, generate={"max_new_tokens": 8, "num_beams": 4, "length_penalty": 0.5, "no_repeat_ngram_size": 2}
        ),
    }
    if "ForCausalLM" in heads:
        cases |= _decoder_cases(case)
    if "ForSequenceClassification" in heads:
        several = {"num_labels": 3, "problem_type": "multi_label_classification"}
        head, one = "ForSequenceClassification", {**text, "labels": torch.tensor([1, 0])}
        cases["class"] = case(head, one, {"num_labels": 3}, call=STATES, gradients=True)
        cases["several"] = case(head, {**text, "labels": torch.tensor([[1.0, 0, 1], [0, 0, 1]])}, several)
        cases["value"] = case(head, {**text, "labels": torch.tensor([0.3, -1.0])}, {"num_labels": 1})
    if "ForQuestionAnswering" in heads:
        span = {"start_positions": torch.tensor([3, 1]), "end_positions": torch.tensor([5, 30])}
        cases["answer"] = case("ForQuestionAnswering", {**text, **span}, call=STATES, gradients=True)
    return cases


def _decoder_cases(case: Any) -> dict[str, dict[str, Any]]:
    ids = tiny_ids((B, T), 60, seed=4, low=4)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    encoder = {
        "encoder_hidden_states": tiny_floats((B, S, 16), seed=5),
        "encoder_attention_mask": torch.tensor([[1] * S, [1] * 5 + [0] * (S - 5)]),
    }
    labels = torch.where(mask.bool(), ids, -100)
    text = {"input_ids": ids, "attention_mask": mask}
    return {
        "causal": case("ForCausalLM", {**text, "labels": labels}, call=STATES, gradients=True),
        "causal_cross": case("ForCausalLM", {**text, **encoder}, call=STATES),
        "causal_greedy": case("ForCausalLM", {"input_ids": ids}, generate={"max_new_tokens": 8, "do_sample": False}),
    }
