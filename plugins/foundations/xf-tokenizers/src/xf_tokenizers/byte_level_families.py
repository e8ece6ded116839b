"""Byte-level BPE classes that several families share: GPT-2, GPT-NeoX, Qwen2, RoBERTa."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import processors

from .family import BeginEndMixin, ByteLevelTokenizerFast, literal, mask, normal

END_OF_TEXT = "<|endoftext|>"


class GPT2TokenizerFast(ByteLevelTokenizerFast):
    """GPT-2's (Radford et al. 2019): nothing stands around a text. add_prefix_space: put a space before the text."""

    defaults = {
        "unk_token": END_OF_TEXT, "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "add_prefix_space": False,
    }  # fmt: skip
    file_defaults = {
        "unk_token": normal(END_OF_TEXT), "bos_token": normal(END_OF_TEXT), "eos_token": normal(END_OF_TEXT),
        "errors": "replace", "pad_token": None, "add_bos_token": False,
    }  # fmt: skip

    def finish(self, made: bool) -> None:
        self.add_bos_token: bool = self.init_kwargs.get("add_bos_token", False)
        if made and self.add_bos_token:
            self._tokenizer.post_processor = self.around("{bos_token}:0 $A:0", "{bos_token}:0 $A:0 {bos_token}:1 $B:1")


class GPTNeoXTokenizerFast(BeginEndMixin, ByteLevelTokenizerFast):
    """GPT-NeoX's (arXiv:2204.06745), also of Mamba, OLMo and StableLM; add_bos_token, add_eos_token: off by default."""

    defaults = {
        "unk_token": END_OF_TEXT, "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": None,
        "add_bos_token": False, "add_eos_token": False, "add_prefix_space": False,
    }  # fmt: skip


class Qwen2TokenizerFast(ByteLevelTokenizerFast):
    """Qwen2's (arXiv:2407.10671): composed characters, each digit by itself; nothing stands around a text."""

    defaults = {
        "unk_token": literal(END_OF_TEXT), "bos_token": None, "eos_token": literal(END_OF_TEXT),
        "pad_token": literal(END_OF_TEXT),
    }  # fmt: skip
    file_defaults = {"errors": "replace", "clean_up_tokenization_spaces": False, "split_special_tokens": False}
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    nfc = True
    spaced_words = False


class RobertaTokenizerFast(ByteLevelTokenizerFast):
    """RoBERTa's (arXiv:1907.11692): <s> text </s> and <s> text </s></s> text </s>; all token types are 0.

    add_prefix_space: put a space before the text, so that its first word is as any other. trim_offsets: leave spaces
    out of the characters of a token. The two win over a tokenizer.json.
    """

    defaults = {
        "errors": "replace", "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>",
        "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": mask("<mask>", normalized=False),
        "add_prefix_space": False, "trim_offsets": True,
    }  # fmt: skip
    file_defaults = {
        "bos_token": normal("<s>"), "eos_token": normal("</s>"), "sep_token": normal("</s>"),
        "cls_token": normal("<s>"), "unk_token": normal("<unk>"), "pad_token": normal("<pad>"),
    }  # fmt: skip

    def finish(self, made: bool) -> None:
        processor = self._tokenizer.post_processor
        state = {} if processor is None else json.loads(processor.__getstate__())
        if made or state.get("type") == "RobertaProcessing":
            self._tokenizer.post_processor = self.post_processor()

    def post_processor(self) -> Any:
        """What puts special tokens around texts."""
        return processors.RobertaProcessing(
            (str(self.sep_token), self.sep_token_id),
            (str(self.cls_token), self.cls_token_id),
            trim_offsets=self.init_kwargs["trim_offsets"],
            add_prefix_space=self.add_prefix_space,
        )

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Zeros: RoBERTa has no token types."""
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))


class GPT2Tokenizer(GPT2TokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""


class Qwen2Tokenizer(Qwen2TokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""


class RobertaTokenizer(RobertaTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
