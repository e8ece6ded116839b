"""Objects of the `tokenizers` library: reading one from a file, and cloning one."""

from __future__ import annotations

from pathlib import Path

import tokenizers
from tokenizers import Tokenizer


def read_tokenizer_file(path: str | Path) -> Tokenizer:
    """Read a tokenizer.json; ValueError (FileNotFoundError if there is none) that says what is wrong with it."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no tokenizer file {path}")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a tokenizer.json by tokenizers {tokenizers.__version__} ({error}): it is "
            "damaged, incomplete, or written by a newer version (then upgrade `tokenizers`)"
        ) from error


def clone_tokenizer(source: Tokenizer) -> Tokenizer:
    """A tokenizer with the parts of `source`, whose truncation, padding and post-processor are its own to set."""
    clone = Tokenizer(source.model)
    clone.normalizer, clone.pre_tokenizer = source.normalizer, source.pre_tokenizer
    clone.post_processor, clone.decoder = source.post_processor, source.decoder
    clone.encode_special_tokens = source.encode_special_tokens
    added = dict(sorted(source.get_added_tokens_decoder().items()))
    clone.add_tokens(list(added.values()))
    if sorted(clone.get_added_tokens_decoder()) != sorted(added):
        clone = Tokenizer.from_str(source.to_str())
    return clone
