"""A padded batch of tensors against the bare call of the `tokenizers` library, which makes neither lists nor tensors.

Two tokenizers are trained on the texts of this repository: words and pieces of words, and bytes. Where the reference's
environment is there, its time for the same is measured too.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "bench"))
from measures import ROOT, Measure, finish, output_of, reference_python
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

ROUNDS = 9
CODE = """
import json, sys, time, statistics
from {module} import PreTrainedTokenizerFast
folder, texts = sys.argv[1], json.load(open(sys.argv[2]))
tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
bare = PreTrainedTokenizerFast.from_pretrained(folder).backend_tokenizer
calls = {{
    "bare": lambda: bare.encode_batch(texts),
    "padded": lambda: tokenizer(texts, padding=True, return_tensors="pt"),
    "cut": lambda: tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt"),
}}
times = {{name: [] for name in calls}}
for _ in range({rounds}):
    for name, call in calls.items():
        begin = time.perf_counter()
        call()
        times[name].append(time.perf_counter() - begin)
print(json.dumps({{name: statistics.median(values[1:]) * 1000 for name, values in times.items()}}))
"""


def texts_of() -> list[str]:
    """Paragraphs of the repository's own documents, repeated to two thousand."""
    found = [
        line.strip()
        for path in sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("plugins/*/*/README.md"))
        for line in path.read_text("utf-8").splitlines()
        if len(line) > 40
    ]
    return (found * (2000 // len(found) + 1))[:2000]


def train(texts: list[str]) -> dict[str, Tokenizer]:
    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words.train_from_iterator(texts, trainers.WordPieceTrainer(special_tokens=special, show_progress=False))
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    level = Tokenizer(models.BPE())
    level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    level.train_from_iterator(texts, trainers.BpeTrainer(special_tokens=["[PAD]"], show_progress=False))
    return {"pieces of words": words, "bytes": level}


def main() -> None:
    import json

    texts, measures = texts_of(), []
    python = reference_python("5")
    with tempfile.TemporaryDirectory() as temporary:
        listed = Path(temporary) / "texts.json"
        listed.write_text(json.dumps(texts), "utf-8")
        for name, tokenizer in train(texts).items():
            folder = Path(temporary) / name.replace(" ", "-")
            folder.mkdir()
            tokenizer.save(str(folder / "tokenizer.json"))
            (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]"}), "utf-8")
            code = CODE.format(module="xf", rounds=ROUNDS)
            ours = json.loads(output_of(sys.executable, code, str(folder), str(listed)))
            for kind, title in (("padded", "padded tensors"), ("cut", "padded and truncated tensors")):
                about = f"2000 texts, {name}: {title}"
                measures.append(Measure(about, ours[kind], "ms", ours["bare"], "bare call", 1.3))
            if python is not None:
                theirs = json.loads(
                    output_of(python, code.replace("from xf", "from transformers"), str(folder), str(listed))
                )
                about = f"2000 texts, {name}: the reference's padded tensors"
                measures.append(Measure(about, theirs["padded"], "ms", theirs["bare"], "bare call"))
    finish(measures)


if __name__ == "__main__":
    main()
