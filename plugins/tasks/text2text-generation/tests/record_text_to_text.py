"""Make a tiny T5 and record what the reference (4.55.4) writes with it. Run in the reference's environment.

python record_text_to_text.py    writes tests/goldens of the three tasks from text to text, which share the checkpoint
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration, pipeline

SEED = 22  # of weights that write several words
TASKS = Path(__file__).resolve().parents[2]
WORDS = "the quick brown fox jumps over lazy dog hello world translate English to French German summarize :".split()
SPECIFIC = {
    "summarization": {
        "max_length": 30,
        "min_length": 5,
        "num_beams": 2,
        "length_penalty": 2.0,
        "prefix": "summarize: ",
    },
    "translation_en_to_fr": {"max_length": 24, "num_beams": 2, "prefix": "translate English to French: "},
    "translation_en_to_de": {"max_length": 20, "num_beams": 1, "prefix": "translate English to German: "},
}


def make(folder: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz.,!?"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -3.0)]
    pieces += [("\u2581" + word, -4 - i / 10) for i, word in enumerate(WORDS)]
    pieces += [(letter, -8 - i / 10) for i, letter in enumerate(letters)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=2))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    pair = {"single": "$A </s>", "pair": "$A </s> $B </s>", "special_tokens": [("</s>", 1)]}
    backend.post_processor = processors.TemplateProcessing(**pair)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=32
    )
    torch.manual_seed(SEED)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer), d_model=8, d_kv=4, d_ff=12, num_layers=2, num_heads=2, decoder_start_token_id=0,
            relative_attention_num_buckets=8, task_specific_params=SPECIFIC,
        )
    )  # fmt: skip
    for name, parameter in model.named_parameters():
        parameter.data = torch.randn_like(parameter) * (3.0 if "relative" in name or "EncDec" in name else 0.8)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def main() -> None:
    for task in ("text2text-generation", "summarization", "translation"):
        folder = TASKS / task / "tests" / "goldens"
        folder.mkdir(exist_ok=True)
        if task == "text2text-generation":
            make(folder / "t5")
        else:
            shutil.copytree(TASKS / "text2text-generation/tests/goldens/t5", folder / "t5", dirs_exist_ok=True)
        answers = []
        for name, inputs, parameters in json.loads((folder / "cases.json").read_text("utf-8")):
            try:
                answers.append(pipeline(name, model=str(folder / "t5"))(inputs, **parameters))
            except Exception:
                answers.append("error")
        (folder / "answers.json").write_text(json.dumps(answers, indent=0, default=plain) + "\n", "utf-8")


if __name__ == "__main__":
    main()
