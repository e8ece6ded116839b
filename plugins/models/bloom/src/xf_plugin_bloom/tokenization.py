"""BLOOM's tokenizer on the `tokenizers` library (arXiv:2211.05100)."""

from __future__ import annotations

from xf_tokenizers.family import ByteLevelTokenizerFast


class BloomTokenizerFast(ByteLevelTokenizerFast):
    """BPE on bytes; nothing stands around a text. The pipeline is in tokenizer.json."""

    vocab_files_names = {"tokenizer_file": "tokenizer.json"}
    defaults = {
        "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
    }  # fmt: skip
