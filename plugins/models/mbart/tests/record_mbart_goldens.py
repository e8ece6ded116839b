"""Record the reference's answers for tiny mBART models. Needs the reference environment (`make reference`).

Run: python record_mbart_goldens.py
"""

from __future__ import annotations

from pathlib import Path

from xf_testing.reference import record_all
from xf_testing.seq2seq_cases import head_cases

CONFIG = {"pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
HEADS = ["ForCausalLM", "ForSequenceClassification", "ForQuestionAnswering"]

if __name__ == "__main__":
    record_all(Path(__file__).parent / "goldens", "mbart", head_cases("MBart", HEADS, CONFIG))
