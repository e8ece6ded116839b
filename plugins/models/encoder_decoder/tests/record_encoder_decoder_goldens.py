"""Record the reference's answers for tiny encoder-decoders of two models. Needs `make reference`.

Run: python record_encoder_decoder_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xf_testing.reference import record_all
from xf_testing.seq2seq_cases import padded_text
from xf_testing.tiny import tiny_floats, tiny_ids

BERT = {
    "model_type": "bert",
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
DECODES = {"is_decoder": True, "add_cross_attention": True}
GPT2 = {"model_type": "gpt2", "vocab_size": 60, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40, **DECODES}
TOKENS = {"decoder_start_token_id": 2, "pad_token_id": 0, "eos_token_id": 3}
STATES = {"output_hidden_states": True, "output_attentions": True}


def make_cases() -> dict[str, dict[str, Any]]:
    text, labels = padded_text(0, 3)
    decoder = {"decoder_input_ids": tiny_ids((2, 6), 60, seed=2, low=4)}
    embeds = {"inputs_embeds": tiny_floats((2, 5, 16)), "decoder_inputs_embeds": tiny_floats((2, 4, 16), seed=1)}
    padded = {"decoder_attention_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2])}
    bert = {"encoder": BERT, "decoder": {**BERT, **DECODES}}
    wide = {"encoder": {**BERT, "hidden_size": 24}, "decoder": {**BERT, **DECODES}}
    gpt2 = {"encoder": BERT, "decoder": GPT2}

    def case(config: dict[str, Any], inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
        names = {"config_class": "EncoderDecoderConfig", "model_class": "EncoderDecoderModel"}
        return {**names, "config": {**TOKENS, **config}, "inputs": inputs, **more}

    return {
        "bert": case(bert, {**text, "labels": labels}, call=STATES, gradients=True),
        "bert_padded": case(bert, {**text, **decoder, **padded}, call=STATES),
        "bert_embeds": case(bert, embeds, call=STATES),
        "bert_greedy": case(bert, text, generate={"max_new_tokens": 10, "do_sample": False}),
        "bert_beams": case(bert, text, generate={"max_new_tokens": 8, "num_beams": 3}),
        "wide": case(wide, {**text, "labels": labels}, call=STATES, gradients=True),
        "wide_greedy": case(wide, text, generate={"max_new_tokens": 6, "do_sample": False}),
        "gpt2": case(gpt2, {**text, **decoder}, call=STATES),
        "gpt2_labels": case(gpt2, {**text, "labels": labels}),
        "gpt2_greedy": case(gpt2, text, generate={"max_new_tokens": 10, "do_sample": False}),
        "gpt2_beams": case(gpt2, text, generate={"max_new_tokens": 8, "num_beams": 3}),
    }


if __name__ == "__main__":
    record_all(Path(__file__).parent / "goldens", "encoder_decoder", make_cases())
