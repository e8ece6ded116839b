"""CamemBERT's tokenizer on the `tokenizers` library (arXiv:1911.03894)."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer

from xf_tokenizers.family import literal
from xf_tokenizers.sentencepiece import SentencePieceModel, sentencepiece_tokenizer
from xf_tokenizers.sentencepiece_families import XLMRobertaTokenizerFast

#: The first tokens as fairseq numbered them: its own, then those of the file that it does not use, with their scores
_FIRST = [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0), ("<unk>NOTUSED", -100.0)]


class CamembertTokenizerFast(XLMRobertaTokenizerFast):
    """Unigram with <s> text </s> and <s> text </s></s> text </s>; all token types are 0."""

    defaults = {
        **XLMRobertaTokenizerFast.defaults,
        "additional_special_tokens": ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"],
    }  # fmt: skip

    def pipeline(self, model: SentencePieceModel, **kwargs: Any) -> Tokenizer:
        """Unigram with the ids of fairseq."""
        pieces = _FIRST + model.vocab[1:] + [("<mask>", 0.0)]
        tokenizer = sentencepiece_tokenizer(model, pieces, 3, add_prefix_space=True)
        tokenizer.add_tokens([literal("<unk>NOTUSED")])
        return tokenizer


class CamembertTokenizer(CamembertTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
