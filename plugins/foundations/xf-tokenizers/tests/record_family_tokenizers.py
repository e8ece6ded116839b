"""Record the reference's tokenizer classes on small vocabularies, into the tests of the plugins that have them.

Run: <reference python> record_family_tokenizers.py (needs the package sentencepiece to train with)
"""

from __future__ import annotations

import base64
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

PLUGINS = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(PLUGINS / "foundations" / "xf-testing" / "src"))
from xf_testing.family_tokenizer import record, write_files  # noqa: E402

CORPUS = ["the quick brown fox says hello world, it's a small world 123 hello there x y z", "a b c d e f g"] * 20
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
FIRST = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}
IDENTITY = {"normalization_rule_name": "identity"}
BYTES = {"model_type": "bpe", "byte_fallback": True, "vocab_size": 400, "remove_extra_whitespaces": False, **IDENTITY}
NAMED = {"pad_piece": "[PAD]", "unk_piece": "[UNK]", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}


def encoded(content: bytes) -> str:
    """As a recording holds it."""
    return base64.b64encode(content).decode("ascii")


def pieces(**options: Any) -> str:
    """A SentencePiece file."""
    file = io.BytesIO()
    options = {"vocab_size": 90, "hard_vocab_limit": False, "minloglevel": 2, **IDENTITY, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=file, **options)
    return encoded(file.getvalue())


def byte_level(special: list[str]) -> dict[str, str]:
    """vocab.json and merges.txt."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    )
    return saved(tokenizer)


def word_pieces(special: list[str]) -> dict[str, str]:
    """vocab.txt."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special))
    return saved(tokenizer)


def saved(tokenizer: Tokenizer) -> dict[str, str]:
    """The files of a model."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.model.save(folder)
        return {path.name: encoded(path.read_bytes()) for path in sorted(Path(folder).iterdir())}


def cases() -> dict[str, tuple[str, dict[str, str]]]:
    """Class and files, by plugin."""
    gpt2, roberta = byte_level(["<|endoftext|>"]), byte_level(ROBERTA)
    bert = word_pieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    fairseq = pieces()
    bpe = "sentencepiece.bpe.model"
    controls = {"control_symbols": ["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]}
    albert = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]", "[MASK]"]}
    eos_first = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    gemma = {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "bos_piece": "<bos>", "eos_piece": "<eos>"}
    return {
        "gpt2": ("GPT2TokenizerFast", gpt2),
        "qwen2": ("Qwen2TokenizerFast", gpt2),
        "phi": ("CodeGenTokenizerFast", gpt2),
        "bart": ("BartTokenizerFast", roberta),
        "longformer": ("LongformerTokenizerFast", roberta),
        "led": ("LEDTokenizerFast", roberta),
        "blenderbot": ("BlenderbotTokenizerFast", roberta),
        "deberta": ("DebertaTokenizerFast", byte_level(["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"])),
        "distilbert": ("DistilBertTokenizerFast", bert),
        "electra": ("ElectraTokenizerFast", bert),
        "mpnet": ("MPNetTokenizerFast", word_pieces(["<s>", "<pad>", "</s>", "[UNK]", "<mask>"])),
        "llama": ("LlamaTokenizerFast", {"tokenizer.model": pieces(**BYTES)}),
        "gemma": ("GemmaTokenizerFast", {"tokenizer.model": pieces(**BYTES, **gemma, add_dummy_prefix=False)}),
        "t5": ("T5TokenizerFast", {"spiece.model": pieces(**eos_first)}),
        "pegasus": ("PegasusTokenizerFast", {"spiece.model": pieces(**eos_first)}),
        "albert": ("AlbertTokenizerFast", {"spiece.model": pieces(**albert)}),
        "xlnet": ("XLNetTokenizerFast", {"spiece.model": pieces(unk_id=0, bos_id=1, eos_id=2, **controls)}),
        "deberta_v2": ("DebertaV2TokenizerFast", {"spm.model": pieces(**FIRST, **NAMED)}),
        "camembert": ("CamembertTokenizerFast", {bpe: fairseq}),
        "mbart": ("MBartTokenizerFast", {bpe: fairseq}),
        "m2m_100": ("NllbTokenizerFast", {bpe: pieces(model_type="bpe")}),
        "m2m_100/pieces": ("M2M100Tokenizer", {bpe: fairseq, "vocab.json": numbered(fairseq, ROBERTA[:4])}),
        "marian": (
            "MarianTokenizer",
            {"source.spm": fairseq, "target.spm": fairseq, "vocab.json": numbered(fairseq, ["</s>", "<unk>", "<pad>"])},
        ),
    }


def numbered(file: str, first: list[str]) -> str:
    """vocab.json: tokens that come first, then the pieces of a file."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=base64.b64decode(file))
    tokens = [*first, *(processor.id_to_piece(i) for i in range(3, processor.get_piece_size()))]
    return encoded(json.dumps({token: i for i, token in enumerate(tokens)}).encode())


def main() -> None:
    """Make every recording."""
    for place, (name, files) in cases().items():
        plugin, _, _ = place.partition("/")
        path = PLUGINS / "models" / plugin / "tests" / "goldens" / f"{place.replace('/', '_')}_tokenizer.json"
        with tempfile.TemporaryDirectory() as folder:
            write_files(files, Path(folder) / "files", name)
            tokenizer = AutoTokenizer.from_pretrained(Path(folder) / "files")
            record(tokenizer, name, files, path, Path(folder) / "saved")
        print(place, json.dumps(path.stat().st_size))


if __name__ == "__main__":
    main()
