"""Record the reference's answers for tiny XLM-RoBERTa-XL models. Needs the reference environment (`make reference`).

Run: python record_xlm_roberta_xl_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xf_testing.encoder_cases import encoder_cases
from xf_testing.reference import record_all


def cases() -> dict[str, dict[str, Any]]:
    """Every head, and the decoder."""
    return encoder_cases("XLMRobertaXL", config={"type_vocab_size": 2})


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "xlm_roberta_xl", cases())


if __name__ == "__main__":
    main()
