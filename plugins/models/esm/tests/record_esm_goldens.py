"""Record the reference's answers for tiny ESM models. Needs the reference environment (`make reference`).

Run: python record_esm_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xf_testing.encoder_cases import head_cases
from xf_testing.reference import record_all


def cases() -> dict[str, dict[str, Any]]:
    """Every head; kinds of positions; dropped tokens; the norm of the embeddings."""
    found = head_cases("Esm", 1, {"pad_token_id": 1, "mask_token_id": 32, "position_embedding_type": "rotary"})
    del found["answer"], found["choice"]
    model, masked = found["model"], found["masked_lm"]
    esm1 = {"position_embedding_type": "absolute", "emb_layer_norm_before": True, "token_dropout": True}
    for name, case in {"model_absolute": model, "masked_lm_absolute": masked}.items():
        found[name] = {
            **case,
            "config": {**case["config"], **esm1, "mask_token_id": 51},
        }  # the first text's first token
    found["dropped"] = {**masked, "config": {**masked["config"], "token_dropout": True, "mask_token_id": 40}}
    for kind in ("relative_key", "relative_key_query"):
        found[kind] = {**model, "config": {**model["config"], "position_embedding_type": kind}}
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "esm", cases())


if __name__ == "__main__":
    main()
