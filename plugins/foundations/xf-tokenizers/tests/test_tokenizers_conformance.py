"""The conformance checks, on each kind of pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from xf import AddedToken, PreTrainedTokenizer, PreTrainedTokenizerFast
from xf_testing import TokenizerConformance
from xf_tokenizers.sentencepiece import SentencePieceModel, byte_fallback_tokenizer
from xf_tokenizers.wordpiece import wordpiece_tokenizer

sys.path.insert(0, str(Path(__file__).parent))
from slow_tokenizer_class import make_tokenizers

GOLDENS = Path(__file__).parent / "goldens"


class Fast(TokenizerConformance):
    name = "bytelevel"

    def make_tokenizer(self) -> Any:
        return PreTrainedTokenizerFast.from_pretrained(GOLDENS / self.name)


class TestBytes(Fast):
    """Bytes."""

    is_lossless = True


class TestUnigram(Fast):
    """Likely pieces."""

    name = "unigram"


class TestWordPiece(TokenizerConformance):
    """Words and pieces of words."""

    name = "wordpiece"

    def make_tokenizer(self) -> Any:
        vocab = PreTrainedTokenizerFast.from_pretrained(GOLDENS / "wordpiece").backend_tokenizer.get_vocab(False)
        names = {name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token")}
        return PreTrainedTokenizerFast(tokenizer_object=wordpiece_tokenizer(vocab), **names)


class TestByteFallback(TokenizerConformance):
    """Merged characters, unknown ones as bytes."""

    name = "llama"
    is_lossless = True

    def make_tokenizer(self) -> Any:
        model = SentencePieceModel.read(GOLDENS / "sentencepiece" / "bpe.model")
        names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
        return PreTrainedTokenizerFast(tokenizer_object=byte_fallback_tokenizer(model, legacy=False), **names)


class TestPurePython(TokenizerConformance):
    """The base class in pure Python."""

    name = "words"

    def make_tokenizer(self) -> Any:
        return make_tokenizers(PreTrainedTokenizer, AddedToken)["plain"]
