"""Record the reference's answers for tiny Marian models. Needs the reference environment (`make reference`).

Run: python record_marian_goldens.py
"""

from __future__ import annotations

from pathlib import Path

from xf_testing.reference import record_all
from xf_testing.seq2seq_cases import head_cases

CONFIG = {"pad_token_id": 59, "eos_token_id": 0, "decoder_start_token_id": 59, "forced_eos_token_id": 0}
HEADS = ["ForCausalLM"]

if __name__ == "__main__":
    record_all(Path(__file__).parent / "goldens", "marian", head_cases("Marian", HEADS, CONFIG, lm="MTModel"))
