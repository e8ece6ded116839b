"""Record the reference's answers for tiny RemBERT models. Needs the reference environment (`make reference`).

Run: python record_rembert_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xf_testing.encoder_cases import encoder_cases
from xf_testing.reference import record_all
from xf_testing.tiny import tiny_floats


def cases() -> dict[str, dict[str, Any]]:
    """Every head, and the decoder."""
    found = encoder_cases("RemBert", 0, {"input_embedding_size": 8, "output_embedding_size": 12})
    found["embedded"]["inputs"] = {"inputs_embeds": tiny_floats((2, 8, 8))}
    found["causal"]["call"] = {"use_cache": False}
    return {name: case for name, case in found.items() if not name.startswith("relative")}


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "rembert", cases())


if __name__ == "__main__":
    main()
