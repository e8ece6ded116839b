"""Cohere's tokenizer on the `tokenizers` library; its pipeline is in tokenizer.json."""

from __future__ import annotations

from xf_tokenizers.family import BeginEndMixin, ByteLevelTokenizerFast


class CohereTokenizerFast(BeginEndMixin, ByteLevelTokenizerFast):
    """BPE on bytes, <BOS_TOKEN> before a text; padded on the left. add_bos_token, add_eos_token: what stands around."""

    vocab_files_names = {"tokenizer_file": "tokenizer.json"}
    padding_side = "left"
    defaults = {
        "clean_up_tokenization_spaces": False, "unk_token": "<UNK>", "bos_token": "<BOS_TOKEN>",
        "eos_token": "<|END_OF_TURN_TOKEN|>", "add_bos_token": True, "add_eos_token": False,
        "use_default_system_prompt": False, "add_prefix_space": False,
    }  # fmt: skip
