"""Record the reference's answers for tiny Whisper models. Needs the reference environment (`make reference`).

Run: python record_whisper_models.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record
from xf_testing.tiny import tiny_floats, tiny_ids

FOLDER = Path(__file__).parent / "goldens"
CONFIG = {
    "vocab_size": 60,
    "num_mel_bins": 4,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 14,
    "encoder_ffn_dim": 12,
    "d_model": 8,
    "max_source_positions": 10,
    "max_target_positions": 16,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "decoder_start_token_id": 4,
    "begin_suppress_tokens": None,
    "classifier_proj_size": 6,
}
STATES = {"output_hidden_states": True, "output_attentions": True}


def case(head: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    return {
        "config_class": "WhisperConfig",
        "model_class": f"Whisper{head}",
        "config": {**CONFIG, **(config or {})},
        "inputs": inputs,
        **more,
    }


def main() -> None:
    features = tiny_floats((2, 4, 20))
    ids = tiny_ids((2, 6), 60, low=5)
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    labels = ids.clone()
    labels[1, 4:] = -100
    heads = (torch.arange(8).reshape(2, 4) % 3 > 0).float()
    decoding = {"input_features": features, "decoder_input_ids": ids}
    cases = {
        "base": case("Model", {**decoding, "decoder_attention_mask": mask}, call=STATES),
        "heads": case(
            "Model",
            {**decoding, "head_mask": heads[:, :2], "decoder_head_mask": heads, "cross_attn_head_mask": heads.flip(1)},
            {"activation_function": "relu", "scale_embedding": True},
            call=STATES,
        ),
        "speech": case(
            "ForConditionalGeneration", {"input_features": features, "labels": labels}, call=STATES, gradients=True
        ),
        "causal_lm": case(
            "ForCausalLM",
            {"input_ids": ids, "encoder_outputs": tiny_floats((2, 10, 8)), "labels": labels},
            call={**STATES, "use_cache": False},
            gradients=True,
        ),
        "classes": case(
            "ForAudioClassification",
            {"input_features": features, "labels": torch.tensor([2, 0])},
            {"num_labels": 3, "use_weighted_layer_sum": True},
            call=STATES,
            gradients=True,
        ),
        "classes_last": case(
            "ForAudioClassification", {"input_features": features}, {"num_labels": 3}, call=STATES, gradients=True
        ),
    }
    for name, one in cases.items():
        record(FOLDER / f"whisper_{name}.safetensors", one)


if __name__ == "__main__":
    main()
