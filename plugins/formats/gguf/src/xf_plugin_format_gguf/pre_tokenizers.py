r"""How text is split before BPE, by the name in tokenizer.ggml.pre.

The names are llama.cpp's (src/llama-vocab.cpp, MIT licence); the expressions are those of the tokenizers that the
models were published with. They are applied one after the other, each to the pieces that the one before left.
"""

from __future__ import annotations

from typing import NamedTuple

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
# GPT-2 (Radford et al. 2019, encoder.py).
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def _cl100k(digits: str) -> str:
    """The family of tiktoken's cl100k_base; `digits` says how many stay together."""
    return (
        rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


def _o200k(digits: str, contractions: str) -> str:
    """The family of tiktoken's o200k_base: words are split where small letters turn to capitals."""
    upper, lower = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
    lead = r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"{lead}[{upper}]*[{lower}]+{contractions}|{lead}[{upper}]+[{lower}]*{contractions}|\p{{N}}{digits}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


class PreTokenizer(NamedTuple):
    """Expressions; whether whole words of the vocabulary skip the merges; whether text begins with BOS by default."""

    expressions: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False


_DIGIT = r"\p{N}"
_PUNCTUATION = r"[\p{P}\$\+<=>\^~\|`]+"
_BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"

_GPT2 = PreTokenizer((GPT2,))
_SINGLE_DIGITS = PreTokenizer((_DIGIT, GPT2))
_LLAMA3 = PreTokenizer((_cl100k("{1,3}"),), ignore_merges=True, add_bos=True)
_QWEN2 = PreTokenizer((_cl100k(""),))
_BLOOMS = PreTokenizer((_BLOOM,))

PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    **dict.fromkeys(("gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "jina-es", "jina-de", "roberta-bpe"), _GPT2),
    **dict.fromkeys(
        ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"), _SINGLE_DIGITS
    ),
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3"), _LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe", "glm4"), PreTokenizer((_cl100k("{1,3}"),))),
    **dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen", "megrez", "hunyuan"), _QWEN2),
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), _BLOOMS),
    "viking": PreTokenizer((_BLOOM, _DIGIT)),
    "falcon": PreTokenizer((_PUNCTUATION, GPT2, "[0-9][0-9][0-9]")),
    "default": PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    "gpt-4o": PreTokenizer((_o200k("{1,3}", _CONTRACTIONS + "?"),)),
    "llama4": PreTokenizer((_o200k("{1,3}", _CONTRACTIONS + "?"),), add_bos=True),
    "tekken": PreTokenizer((_o200k("", ""),), ignore_merges=True, add_bos=True),
}
