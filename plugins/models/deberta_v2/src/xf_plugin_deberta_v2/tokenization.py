"""DeBERTa-v2's tokenizer on the `tokenizers` library (arXiv:2006.03654)."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers

from xf_tokenizers.family import SentencePieceTokenizerFast, own_tokens
from xf_tokenizers.sentencepiece import SPACE, SentencePieceModel, add_file_tokens, unigram


class DebertaV2TokenizerFast(SentencePieceTokenizerFast):
    """Unigram with [CLS] text [SEP] and [CLS] text [SEP] text [SEP].

    do_lower_case: turn the text into lower case. split_by_punct: punctuation characters are words of their own.
    """

    vocab_files_names = {"vocab_file": "spm.model", "tokenizer_file": "tokenizer.json"}
    defaults = {
        "do_lower_case": False, "split_by_punct": False, "bos_token": "[CLS]", "eos_token": "[SEP]",
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
    }  # fmt: skip
    file_defaults = {"sp_model_kwargs": {}, "unk_token": AddedToken("[UNK]", normalized=True, special=True)}
    single = "{cls_token}:0 $A:0 {sep_token}:0"
    pair = "{cls_token}:0 $A:0 {sep_token}:0 $B:1 {sep_token}:1"

    def pipeline(self, model: SentencePieceModel, **kwargs: Any) -> Tokenizer:
        """Unigram on text without spaces at its ends."""
        tokenizer = Tokenizer(unigram(model.vocab, model.unk_id, model.byte_fallback))
        steps: list[Any] = [normalizers.Lowercase()] if kwargs["do_lower_case"] else []
        steps.append(normalizers.Strip())
        if model.charsmap:
            steps.append(normalizers.Precompiled(model.charsmap))
        steps.append(normalizers.Replace(Regex(" {2,}"), " "))
        tokenizer.normalizer = normalizers.Sequence(steps)
        words: list[Any] = [pre_tokenizers.Punctuation(behavior="isolated")] if kwargs["split_by_punct"] else []
        words.append(pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always"))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)
        tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
        add_file_tokens(tokenizer, model, model.vocab, own_tokens(kwargs))
        return tokenizer


class DebertaV2Tokenizer(DebertaV2TokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
