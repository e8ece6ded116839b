"""Make a tiny checkpoint and record what the reference (4.55.4) fills into texts. Run in its environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import torch
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast, pipeline

sys.path.insert(0, str(Path(__file__).parent))
from fill_mask_cases import CALLS, outcome

ROOT = Path(__file__).resolve().parents[4]
TOKENIZER = ROOT / "plugins/foundations/xf-tokenizers/tests/goldens/wordpiece"
HERE = Path(__file__).parent / "goldens"

torch.manual_seed(0)
tokenizer = PreTrainedTokenizerFast.from_pretrained(TOKENIZER)
config = BertConfig(
    vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=32, initializer_range=0.4,
)  # fmt: skip
BertForMaskedLM(config).save_pretrained(HERE / "bert")
tokenizer.save_pretrained(HERE / "bert")
pipe = pipeline("fill-mask", model=str(HERE / "bert"))
(HERE / "fill_mask.json").write_text(json.dumps([outcome(pipe, call) for call in CALLS], indent=0) + "\n", "utf-8")
