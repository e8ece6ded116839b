"""Make a tiny checkpoint and record what the reference (4.55.4) writes. Run in its environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, pipeline

sys.path.insert(0, str(Path(__file__).parent))
from text_generation_cases import CALLS, TEMPLATE, outcome

ROOT = Path(__file__).resolve().parents[4]
TOKENIZER = ROOT / "plugins/foundations/xf-tokenizers/tests/goldens/llama"
HERE = Path(__file__).parent / "goldens"

torch.manual_seed(0)
tokenizer = PreTrainedTokenizerFast.from_pretrained(TOKENIZER)
tokenizer.chat_template = TEMPLATE
config = LlamaConfig(
    vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, initializer_range=0.5,
)  # fmt: skip
LlamaForCausalLM(config).save_pretrained(HERE / "llama")
tokenizer.save_pretrained(HERE / "llama")
pipe = pipeline("text-generation", model=str(HERE / "llama"))
(HERE / "text_generation.json").write_text(json.dumps([outcome(pipe, c) for c in CALLS], indent=0) + "\n", "utf-8")
