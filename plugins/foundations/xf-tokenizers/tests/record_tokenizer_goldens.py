"""Make the tiny tokenizers of the tests and record what the reference does with them.

Run in the environment of the reference (4.55.4): `python record_tokenizer_goldens.py`. Writes goldens/.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

from tokenizer_cases import KINDS, calls, outcome, slow_keywords, spm_texts
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).parent / "goldens"
TEXTS = [
    "The quick brown fox jumps over the lazy dog, and the hello of the world is new.",
    "hello world, it's a naive cafe: one, two, three! What is this? 1,234.56 and 42 tokens.",
    "tokenization of texts into pieces is what a tokenizer does; pieces become numbers.",
    "\u00dcn\u00efc\u00f6d\u00e9 na\u00efve caf\u00e9 Stra\u00dfe \u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 "
    "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 \u0645\u0631\u062d\u0628\u0627",
] * 6


def add_tokens(tokenizer: Tokenizer) -> None:
    tokenizer.add_special_tokens([AddedToken("<sp>", special=True), AddedToken("<|lr|>", lstrip=True, rstrip=True)])
    tokenizer.add_tokens([
        AddedToken("newtok", normalized=True), AddedToken("Single", single_word=True, normalized=False),
        AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True), "\u4e2d\u6587",
    ])  # fmt: skip


def save(tokenizer: Tokenizer, kind: str, **config: object) -> None:
    folder = HERE / kind
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")


def make() -> None:
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=260, special_tokens=special, show_progress=False))
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    add_tokens(t)
    names = {
        "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"
    }  # fmt: skip
    save(t, "wordpiece", model_max_length=32, **names)
    for prefix in (False, True):
        t = Tokenizer(models.BPE())
        t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=prefix), decoders.ByteLevel()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        t.train_from_iterator(
            TEXTS,
            trainers.BpeTrainer(vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
        )
        t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=prefix)
        add_tokens(t)
        mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False,
                "normalized": False}  # fmt: skip
        save(t, "bytelevel" + "_prefix" * prefix, pad_token="<pad>", bos_token="<s>", eos_token="</s>", cls_token="<s>",
             sep_token="</s>", unk_token="<unk>", mask_token=mask, add_prefix_space=prefix)  # fmt: skip
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    t.train_from_iterator(
        TEXTS,
        trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", special_tokens=special, show_progress=False),
    )
    t.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    add_tokens(t)
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    save(t, "unigram", extra_special_tokens={"image_token": "<image>"}, **names)
    t.post_processor = processors.TemplateProcessing(
        single="$A:0 </s>:0 <unk>:2",
        pair="$A:0 </s>:0 $B:1 </s>:1 <unk>:2",
        special_tokens=[("</s>", 1), ("<unk>", 2)],
    )
    save(t, "types_left", padding_side="left", truncation_side="left", **names)
    make_llama()
    t = Tokenizer(models.WordLevel(unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.train_from_iterator(
        TEXTS, trainers.WordLevelTrainer(vocab_size=60, special_tokens=["<unk>", "<pad>"], show_progress=False)
    )
    save(t, "wordlevel", unk_token="<unk>", pad_token="<pad>")
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    t.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=90, special_tokens=["<unk>", "<pad>"], show_progress=False)
    )
    t.enable_truncation(20)
    t.enable_padding(length=30, pad_id=1, pad_token="<pad>")
    save(t, "char", unk_token="<unk>")


def make_llama() -> None:
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    trained.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    t = Tokenizer(models.BPE(model["vocab"], merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.decoder = decoders.Sequence([
        decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)
    ])  # fmt: skip
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    add_tokens(t)
    save(t, "llama", bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>", padding_side="left",
         model_input_names=["input_ids", "attention_mask"])  # fmt: skip


def record() -> None:
    loaded = {kind: PreTrainedTokenizerFast.from_pretrained(HERE / kind) for kind in KINDS}
    results = [outcome(loaded, call) for call in calls(seed=7, count=260)]
    (HERE / "calls.json").write_text(json.dumps(results, ensure_ascii=True, separators=(",", ":")) + "\n", "utf-8")
    files = {}
    for kind, tokenizer in loaded.items():
        tokenizer.add_special_tokens({"additional_special_tokens": ["<new>"], "bos_token": "<begin>"})
        tokenizer.add_tokens([AddedToken("later", single_word=True)])
        tokenizer.chat_template = {"default": "a", "tool_use": "b"}
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            names = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
            files[kind] = {name: (Path(folder) / name).read_text("utf-8") for name in names}
            files[kind]["others"] = sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())
    (HERE / "files.json").write_text(json.dumps(files, indent=1) + "\n", "utf-8")


def record_slow() -> None:
    from slow_tokenizer_class import describe, make_tokenizers
    from transformers import AddedToken as Token
    from transformers import PreTrainedTokenizer

    made = make_tokenizers(PreTrainedTokenizer, Token)
    named = [(sorted(made)[i % 3], a, slow_keywords(k)) for i, (_, a, k) in enumerate(calls(seed=9, count=150))]
    golden = {
        "described": {kind: describe(tokenizer) for kind, tokenizer in made.items()},
        "calls": [outcome(made, call) for call in named],
    }
    (HERE / "slow.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n", "utf-8")


def record_sentencepiece() -> None:
    import sentencepiece
    from transformers import LlamaTokenizerFast, T5TokenizerFast

    folder = HERE / "sentencepiece"
    folder.mkdir(exist_ok=True)
    (folder / "texts.txt").write_text("\n".join(TEXTS), "utf-8")
    golden = {}
    ids = "--pad_id=0 --eos_id=1 --unk_id=2 --bos_id=-1"
    whole = "--byte_fallback=true --remove_extra_whitespaces=false --user_defined_symbols=<user>"
    for name, options, kind, file in (
        ("unigram", f"--model_type=unigram {ids}", T5TokenizerFast, "spiece.model"),
        ("bpe", f"--model_type=bpe {whole}", LlamaTokenizerFast, "tokenizer.model"),
    ):
        path = folder / name
        sentencepiece.SentencePieceTrainer.train(
            f"--input={folder / 'texts.txt'} --model_prefix={path} --vocab_size=380 --hard_vocab_limit=false "
            f"--normalization_rule_name=identity --num_threads=1 --minloglevel=2 {options}"
        )
        (folder / f"{name}.vocab").unlink()
        with tempfile.TemporaryDirectory() as source:
            (Path(source) / file).write_bytes(path.with_suffix(".model").read_bytes())
            for legacy in (True, False):
                (Path(source) / "tokenizer_config.json").write_text(json.dumps({"legacy": legacy, "extra_ids": 0}))
                tokenizer = kind.from_pretrained(source)
                backend = tokenizer.backend_tokenizer
                found = [backend.encode(text, add_special_tokens=False).ids for text in spm_texts()]
                decoded = [backend.decode(ids) for ids in found]
                model = json.loads(backend.to_str())["model"]
                golden[f"{name} {legacy}"] = {"ids": found, "decoded": decoded, "merges": model.get("merges")}
    (folder / "texts.txt").unlink()
    (HERE / "sentencepiece.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    make()
    record()
    record_slow()
    record_sentencepiece()
