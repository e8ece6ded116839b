"""Make a tiny checkpoint and record the vectors of the reference (4.55.4). Run in its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast, pipeline

sys.path.insert(0, str(Path(__file__).parent))
from feature_extraction_cases import CALLS

ROOT = Path(__file__).resolve().parents[4]
TOKENIZER = ROOT / "plugins/foundations/xf-tokenizers/tests/goldens/wordpiece"
HERE = Path(__file__).parent / "goldens"

torch.manual_seed(0)
tokenizer = PreTrainedTokenizerFast.from_pretrained(TOKENIZER)
config = BertConfig(
    vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=32, initializer_range=0.4,
)  # fmt: skip
BertForMaskedLM(config).save_pretrained(HERE / "bert")  # has no pooler
tokenizer.save_pretrained(HERE / "bert")
pipe = pipeline("feature-extraction", model=str(HERE / "bert"))
arrays = {}
for number, (inputs, parameters) in enumerate(CALLS):
    results = pipe(inputs, **parameters)
    for i, result in enumerate(results if isinstance(inputs, list) else [results]):
        arrays[f"{number} {i}"] = np.asarray(result, dtype=np.float32)
np.savez(HERE / "feature_extraction.npz", **arrays)
