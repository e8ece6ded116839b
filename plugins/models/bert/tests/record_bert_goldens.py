"""Record the reference's answers for tiny BERT models. Needs the reference environment (`make reference`).

Run: python record_bert_goldens.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record
from xf_testing.tiny import tiny_floats, tiny_ids

FOLDER = Path(__file__).parent / "goldens"
CONFIG = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
}
STATES = {"output_hidden_states": True, "output_attentions": True}


def case(head: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    return {
        "config_class": "BertConfig",
        "model_class": f"Bert{head}",
        "config": {**CONFIG, **(config or {})},
        "inputs": inputs,
        **more,
    }


def main() -> None:
    ids = tiny_ids((2, 8), 60)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    segments = (torch.arange(8) > 3).long().expand(2, -1).contiguous()
    text = {"input_ids": ids * mask, "attention_mask": mask}
    pair = {**text, "token_type_ids": segments}
    labels = torch.where(mask.bool() & (ids % 3 == 0), ids, -100)
    encoder = {"encoder_hidden_states": tiny_floats((2, 6, 16)), "encoder_attention_mask": (torch.arange(6) < 4).long()}
    encoder["encoder_attention_mask"] = encoder["encoder_attention_mask"].expand(2, -1).contiguous()
    decoder = {"is_decoder": True}
    cases = {
        "model": case("Model", pair, call=STATES, gradients=True),
        "masked_lm": case("ForMaskedLM", {**text, "labels": labels}, call=STATES, gradients=True),
        "pretraining": case(
            "ForPreTraining", {**pair, "labels": labels, "next_sentence_label": torch.tensor([0, 1])}, gradients=True
        ),
        "next_sentence": case("ForNextSentencePrediction", {**pair, "labels": torch.tensor([1, 0])}),
        "one_of_three": case(
            "ForSequenceClassification", {**text, "labels": torch.tensor([2, 0])}, {"num_labels": 3}, gradients=True
        ),
        "several": case(
            "ForSequenceClassification",
            {**text, "labels": tiny_floats((2, 3)).sigmoid()},
            {"num_labels": 3, "problem_type": "multi_label_classification"},
        ),
        "value": case("ForSequenceClassification", {**text, "labels": tiny_floats((2,))}, {"num_labels": 1}),
        "token": case("ForTokenClassification", {**text, "labels": ids % 4}, {"num_labels": 4}),
        "answer": case(
            "ForQuestionAnswering",
            {**pair, "start_positions": torch.tensor([3, 1]), "end_positions": torch.tensor([5, 30])},
        ),
        "choice": case(
            "ForMultipleChoice",
            {"input_ids": torch.stack([ids, ids.flip(1)], 1), "labels": torch.tensor([1, 0])},
        ),
        "heads_off": case("Model", {**text, "head_mask": torch.tensor([[1.0, 0, 1, 0.5], [0, 1, 1, 1]])}, call=STATES),
        "chunked": case("Model", text, {"chunk_size_feed_forward": 4}),
        "relative_key": case("Model", text, {"position_embedding_type": "relative_key"}, call=STATES, gradients=True),
        "relative_key_query": case("Model", text, {"position_embedding_type": "relative_key_query"}, call=STATES),
        "causal": case("LMHeadModel", {**text, "labels": labels}, decoder, call=STATES, gradients=True),
        "reads_encoder": case(
            "LMHeadModel",
            {**text, **encoder},
            {**decoder, "add_cross_attention": True},
            call={**STATES, "use_cache": False},
        ),
        "greedy": case(
            "LMHeadModel", {"input_ids": ids[:, :4]}, decoder, generate={"max_new_tokens": 12, "do_sample": False}
        ),
    }
    for name, one in cases.items():
        record(FOLDER / f"bert_{name}.safetensors", one)


if __name__ == "__main__":
    main()
