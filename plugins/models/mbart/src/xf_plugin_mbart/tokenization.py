"""The tokenizers of mBART and mBART-50 on the `tokenizers` library (arXiv:2001.08210, arXiv:2008.00401)."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer

from xf_tokenizers.family import SentencePieceTokenizerFast, mask
from xf_tokenizers.languages import LanguageTokenizerFast
from xf_tokenizers.sentencepiece import SentencePieceModel
from xf_tokenizers.sentencepiece_families import fairseq_pipeline

#: Languages of mBART, in the order of their ids
MBART_LANGUAGES = (
    "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP "
    "nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN"
).split()

#: What mBART-50 adds
MBART50_LANGUAGES = (
    MBART_LANGUAGES
    + (
        "af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE "
        "ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI"
    ).split()
)


class MBartTokenizerFast(LanguageTokenizerFast, SentencePieceTokenizerFast):
    """Unigram with text </s> language, also for two texts.

    src_lang: the language of texts, such as en_XX (which it is if None). tgt_lang: that of `text_target`.
    """

    vocab_files_names = {"vocab_file": "sentencepiece.bpe.model", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]
    languages = MBART_LANGUAGES
    default_language = "en_XX"
    defaults = {
        "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>",
        "pad_token": "<pad>", "mask_token": mask("<mask>", normalized=False), "src_lang": None, "tgt_lang": None,
        "additional_special_tokens": None,
    }  # fmt: skip
    file_defaults = {"sp_model_kwargs": {}}

    def __init__(self, vocab_file: str | None = None, tokenizer_file: str | None = None, **kwargs: Any) -> None:
        given = kwargs.get("additional_special_tokens") or []
        others = [token for token in given if str(token) not in self.languages]
        kwargs["additional_special_tokens"] = [*self.languages, *others]
        super().__init__(vocab_file, tokenizer_file=tokenizer_file, **kwargs)

    def language_first(self) -> bool:
        """mBART's stands after </s>."""
        return False

    @property
    def lang_code_to_id(self) -> dict[str, int]:
        """The ids of the languages."""
        return {code: self.language_id(code) for code in self.languages}

    def pipeline(self, model: SentencePieceModel, **kwargs: Any) -> Tokenizer:
        """Unigram with the ids of fairseq, the languages after the file's."""
        return fairseq_pipeline(model, (*self.languages, "<mask>"))

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Zeros: mBART has no token types."""
        return [0] * (len(token_ids_0) + 2 + (0 if token_ids_1 is None else len(token_ids_1) + 2))


class MBart50TokenizerFast(MBartTokenizerFast):
    """Unigram with language text </s>, also for two texts; 52 languages."""

    languages = MBART50_LANGUAGES
    defaults = {
        "src_lang": None, "tgt_lang": None, "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>",
        "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": mask("<mask>", normalized=True),
    }  # fmt: skip

    def language_first(self) -> bool:
        """mBART-50's stands before the text."""
        return True


class MBartTokenizer(MBartTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""


class MBart50Tokenizer(MBart50TokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
