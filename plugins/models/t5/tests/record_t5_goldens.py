"""Record the reference's answers for tiny T5, mT5 and umT5 models. Needs the reference environment (`make reference`).

Run: python record_t5_goldens.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record_all
from xf_testing.tiny import tiny_floats, tiny_ids

FOLDER = Path(__file__).parent / "goldens"
CONFIG = {
    "vocab_size": 99,
    "d_model": 16,
    "d_kv": 4,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 3,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}
STATES = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}
ASKED = {"output_hidden_states": True, "output_attentions": True}


def case(model: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    return {
        "config_class": "T5Config",
        "model_class": model,
        "config": {**CONFIG, **(config or {})},
        "inputs": inputs,
        **more,
    }


def make_cases() -> dict[str, dict]:
    mask = torch.ones(2, 17, dtype=torch.long)
    mask[0, 13:] = 0
    ids = (tiny_ids((2, 17), 99, seed=3).clamp(min=2)) * mask
    text = {"input_ids": ids, "attention_mask": mask}
    ended = ids.clone()
    ended[0, 12] = ended[1, 16] = 1
    labels = tiny_ids((2, 6), 99, seed=5)
    labels[0, 4:] = -100
    decoder = {"decoder_input_ids": tiny_ids((2, 15), 99, seed=6)}
    heads = {
        "head_mask": torch.tensor([[1.0, 0.0, 0.5], [1.0, 1.0, 0.3]]),
        "decoder_head_mask": torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.2, 0.3]]),
        "cross_attn_head_mask": torch.tensor([[1.0, 0.1, 0.5], [0.4, 1.0, 0.3]]),
    }
    gated = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "num_decoder_layers": 1}
    padded = {"decoder_attention_mask": torch.tensor([[1] * 12 + [0] * 3, [1] * 15])}
    cases = {
        "lm": case("T5ForConditionalGeneration", {**text, "labels": labels}, gradients=True, call=STATES),
        "lm_gated": case("T5ForConditionalGeneration", {**text, "labels": labels}, gated, gradients=True, call=STATES),
        "lm_heads": case("T5ForConditionalGeneration", {**text, **decoder, **heads}, call=STATES),
        "model": case("T5Model", {**text, **decoder, **padded}, call=STATES),
        "embeds": case(
            "T5Model",
            {"inputs_embeds": tiny_floats((2, 6, 16)), "decoder_inputs_embeds": tiny_floats((2, 3, 16), seed=2)},
            call=STATES,
        ),
        "encoder": case("T5EncoderModel", text, call=ASKED),
        "sequence": case(
            "T5ForSequenceClassification",
            {"input_ids": ended, "attention_mask": mask, "labels": torch.tensor([1, 2])},
            {"num_labels": 3},
            gradients=True,
            call=ASKED,
        ),
        "token": case(
            "T5ForTokenClassification", {**text, "labels": ids % 3}, {"num_labels": 3}, gradients=True, call=ASKED
        ),
        "answer": case(
            "T5ForQuestionAnswering",
            {**text, "start_positions": torch.tensor([1, 4]), "end_positions": torch.tensor([3, 30])},
            gradients=True,
            call=ASKED,
        ),
        "greedy": case("T5ForConditionalGeneration", text, generate={"max_new_tokens": 25, "do_sample": False}),
        "beams": case("T5ForConditionalGeneration", text, generate={"max_new_tokens": 20, "num_beams": 3}),
    }
    return cases


def of_family(one: dict, family: str) -> dict:
    """The same case with the classes of another family."""
    return one | {name: one[name].replace("T5", family, 1) for name in ("config_class", "model_class")}


def longt5_cases() -> dict[str, dict]:
    """Texts of several blocks, of less than one, with padding and without."""
    cases, found = make_cases(), {}
    kinds = {"local": {"local_radius": 3}, "global": {"encoder_attention_type": "transient-global"}}
    kinds["global"] |= {"local_radius": 4, "global_block_size": 3}
    for kind, config in kinds.items():
        for name in ("lm", "lm_gated", "lm_heads", "embeds", "encoder", "greedy", "beams"):
            one = of_family(cases[name], "LongT5")
            found[f"{kind}_{name}"] = one | {"config": one["config"] | config}
    for name, length in (("short", 2), ("longer", 40)):
        one = found["global_encoder"]
        found[f"global_{name}"] = one | {"inputs": {"input_ids": tiny_ids((2, length), 99, seed=7)}}
    return found


def main() -> None:
    cases = make_cases()
    record_all(FOLDER, "t5", cases)
    kept = ("lm", "lm_gated", "lm_heads", "encoder", "sequence", "token", "answer", "greedy", "beams")
    for family in ("MT5", "UMT5"):
        record_all(FOLDER, family.lower(), {name: of_family(cases[name], family) for name in kept})
    record_all(FOLDER, "longt5", longt5_cases())


if __name__ == "__main__":
    main()
