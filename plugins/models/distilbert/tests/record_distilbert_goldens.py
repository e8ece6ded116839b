"""Record the reference's answers for tiny DistilBERT models. Needs the reference environment (`make reference`).

Run: python record_distilbert_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xf_testing.encoder_cases import head_cases
from xf_testing.reference import record_all

SIZES = {
    "vocab_size": 60,
    "dim": 16,
    "hidden_dim": 24,
    "n_layers": 2,
    "n_heads": 4,
    "max_position_embeddings": 20,
}


def cases() -> dict[str, dict[str, Any]]:
    """Every head; positions that are sinusoids; a feed-forward in chunks; another activation."""
    found = head_cases("DistilBert", 0, base=SIZES)
    model = found["model"]
    found["sinusoids"] = {**model, "config": {**SIZES, "sinusoidal_pos_embds": True}}
    found["chunked"] = {**model, "config": {**SIZES, "chunk_size_feed_forward": 4}}
    found["relu"] = {**found["masked_lm"], "config": {**SIZES, "activation": "relu"}}
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "distilbert", cases())


if __name__ == "__main__":
    main()
