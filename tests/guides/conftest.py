"""Tiny random checkpoints that stand in for those which the guides fine-tune: made here, without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import xf

torch.set_num_threads(1)  # models this small are slower on more
SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def words(texts: list[str], folder: Path) -> Any:
    """A tokenizer of BERT whose vocabulary is the words and letters of `texts`."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted({letter for text in texts for letter in text.lower() if not letter.isspace()})
    known = sorted({word for text in texts for word in text.lower().split() if word.isalnum()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = dict.fromkeys([*special, *letters, *("##" + letter for letter in letters), *known])
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", "utf-8")
    return xf.BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), model_max_length=256)


def pieces(texts: list[str]) -> Any:
    """A byte-level tokenizer trained on `texts`, with <s>, </s> and <pad>."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return xf.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., str]:
    """checkpoint(kind, class, texts, **config) saves a model with its tokenizer and returns the folder."""

    def save(kind: str, model_class: str, texts: list[str], **settings: Any) -> str:
        folder = tmp_path / f"my_awesome_{kind}_model"
        tokenizer = words(texts, folder) if kind == "bert" else pieces(texts)
        ids = {"pad_token_id": tokenizer.pad_token_id}
        if kind == "t5":
            sizes = {"d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 3, "decoder_start_token_id": 0}
            config: Any = xf.T5Config(vocab_size=len(tokenizer), eos_token_id=2, **sizes, **ids, **settings)
        elif kind == "mistral":
            ids |= {"bos_token_id": 1, "eos_token_id": 2, "num_key_value_heads": 1, "head_dim": 12}
            config = xf.MistralConfig(vocab_size=len(tokenizer), **SMALL, **ids, **settings)
            tokenizer.chat_template = TEMPLATE
        elif kind == "gpt2":
            ids |= {"bos_token_id": 1, "eos_token_id": 2}
            config = xf.GPT2Config(vocab_size=len(tokenizer), n_embd=24, n_layer=2, n_head=2, **ids, **settings)
        else:
            config = xf.BertConfig(vocab_size=len(tokenizer), **SMALL, **ids, **settings)
        torch.manual_seed(0)
        model = getattr(xf, model_class)(config)
        for parameter in model.parameters():  # large enough that answers differ
            parameter.data.add_(torch.randn_like(parameter) * 0.2)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return save
