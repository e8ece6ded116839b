"""A tiny Whisper for tests: its files are written alike here and by the recorders (no xf, no reference imported).

The tokenizer is byte-level BPE with a few merges, and the special tokens of Whisper in their order.
"""

import json
from pathlib import Path

LANGUAGES = ["en", "zh", "de", "es", "ja"]
MERGES = [
    "h e", "Ġ t", "Ġt he", "i n", "e r", "o n", "Ġ a", "r e", "l l", "l o", "he ll", "hell o", "Ġ w", "o r", "Ġw or",
    "l d", "Ġwor ld", "Ġ n", "Ġn o", "Ġ y", "Ġy e", "Ġye s", "a n", "Ġa n", "d in", "Ġ hello", "in g", "Ġ ,", "Ġ f",
]  # fmt: skip
SPECIALS = [
    "<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES), "<|translate|>",
    "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip
SPELLING = {"colour": "color"}
TEXTS = 256 + len(MERGES)  # ids below are text
FIRST_TIMESTAMP = TEXTS + len(SPECIALS)
TIMESTAMPS = 1501
VOCAB_SIZE = FIRST_TIMESTAMP + TIMESTAMPS


def special(token):
    return TEXTS + SPECIALS.index(token)


def byte_letters():
    """The printable letter of each byte, in the order of GPT-2's vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    for index, byte in enumerate(byte for byte in range(256) if byte not in letters):
        letters[byte] = chr(256 + index)
    return [letters[byte] for byte in [*printable, *(b for b in range(256) if b not in printable)]]


def write_tokenizer(folder, with_timestamps=True, **config):
    """tokenizer.json, tokenizer_config.json, special_tokens_map.json, normalizer.json, vocab.json, merges.txt."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokens = [*byte_letters(), *("".join(merge.split()) for merge in MERGES)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [{"id": special(t), "content": t, **flags, "special": True} for t in SPECIALS]
    if with_timestamps:
        added += [
            {"id": FIRST_TIMESTAMP + i, "content": f"<|{i * 0.02:.2f}|>", **flags, "special": False}
            for i in range(TIMESTAMPS)
        ]
    start, end = {"SpecialToken": {"id": "<|startoftranscript|>", "type_id": 0}}, "<|endoftext|>"
    plain = {"SpecialToken": {"id": "<|notimestamps|>", "type_id": 0}}
    processor = {
        "type": "TemplateProcessing",
        "single": [start, plain, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": end, "type_id": 0}}],
        "pair": [
            start, plain, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
            {"SpecialToken": {"id": end, "type_id": 1}},
        ],
        "special_tokens": {
            t: {"id": t, "ids": [special(t)], "tokens": [t]} for t in ("<|startoftranscript|>", "<|notimestamps|>", end)
        },
    }  # fmt: skip
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    files = {
        "tokenizer.json": {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": level, "post_processor": processor, "decoder": level,
            "model": {
                "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                "end_of_word_suffix": "", "fuse_unk": False, "vocab": vocabulary, "merges": MERGES,
            },
        },
        "tokenizer_config.json": {
            "tokenizer_class": "WhisperTokenizer", "processor_class": "WhisperProcessor", "bos_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
            "additional_special_tokens": SPECIALS, "model_max_length": 1024, "errors": "replace",
            "clean_up_tokenization_spaces": True, "add_prefix_space": False, "return_attention_mask": False, **config,
        },
        "normalizer.json": SPELLING,
        "vocab.json": vocabulary,
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n", encoding="utf-8")
    return folder


def model_settings(**changes):
    """Arguments of a WhisperConfig whose encoder reads 30 s as 1500 positions, as the real ones do."""
    return {
        "vocab_size": VOCAB_SIZE, "num_mel_bins": 8, "encoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 24, "encoder_ffn_dim": 20, "d_model": 16,
        "max_source_positions": 1500, "max_target_positions": 64, "pad_token_id": TEXTS, "bos_token_id": TEXTS,
        "eos_token_id": TEXTS, "decoder_start_token_id": TEXTS + 1, "suppress_tokens": None,
        "begin_suppress_tokens": None, "classifier_proj_size": 6, **changes,
    }  # fmt: skip


def generation_settings(**changes):
    """The generation_config.json of a multilingual Whisper, for the tiny vocabulary."""
    return {
        "bos_token_id": TEXTS, "eos_token_id": TEXTS, "pad_token_id": TEXTS, "decoder_start_token_id": TEXTS + 1,
        "is_multilingual": True, "lang_to_id": {f"<|{code}|>": special(f"<|{code}|>") for code in LANGUAGES},
        "task_to_id": {"transcribe": special("<|transcribe|>"), "translate": special("<|translate|>")},
        "no_timestamps_token_id": special("<|notimestamps|>"), "prev_sot_token_id": special("<|startofprev|>"),
        "max_initial_timestamp_index": 50, "max_length": 64, "return_timestamps": False,
        "suppress_tokens": [1, 2, 7, special("<|startoftranscript|>"), special("<|startofprev|>")],
        "begin_suppress_tokens": [220, TEXTS], "alignment_heads": [[0, 1], [1, 0]], **changes,
    }  # fmt: skip


def fill(model, scale=0.6):
    """Random weights that depend on the names and shapes alone, so that both sides make the same."""
    import torch

    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "encoder.embed_positions" in name:
                continue
            seed = sum((index + 1) * ord(letter) for index, letter in enumerate(name)) % 2**31
            values = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)) * scale
            parameter.copy_(values + 1.0 if "layer_norm.weight" in name else values)


def features(rows, frames):
    import torch

    return torch.randn(3, 8, 4400, generator=torch.Generator().manual_seed(0))[:rows, :, :frames] * 2


def as_tensors(arguments, shape):
    """Arguments of generate with tensors where lists stand for them."""
    import torch

    arguments = dict(arguments)
    if "prompt_ids" in arguments:
        arguments["prompt_ids"] = torch.tensor(arguments["prompt_ids"])
    if "attention_mask" in arguments:
        mask = torch.zeros(shape, dtype=torch.long)
        for row, count in enumerate(arguments["attention_mask"]):
            mask[row, :count] = 1
        arguments["attention_mask"] = mask
    return arguments
