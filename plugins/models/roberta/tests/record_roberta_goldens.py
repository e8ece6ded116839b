"""Record the reference's answers for tiny RoBERTa models. Needs the reference environment (`make reference`).

Run: python record_roberta_goldens.py
"""

from __future__ import annotations

from pathlib import Path

from xf_testing.encoder_cases import encoder_cases
from xf_testing.reference import record

FOLDER = Path(__file__).parent / "goldens"


def main() -> None:
    """Write a golden for each case."""
    for name, case in encoder_cases("Roberta").items():
        record(FOLDER / f"roberta_{name}.safetensors", case)


if __name__ == "__main__":
    main()
