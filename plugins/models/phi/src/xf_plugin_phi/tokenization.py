"""Phi's tokenizer on the `tokenizers` library: that of CodeGen (arXiv:2203.13474)."""

from __future__ import annotations

import re
from typing import Any

from xf_tokenizers.byte_level_families import END_OF_TEXT
from xf_tokenizers.family import ByteLevelTokenizerFast, literal


class CodeGenTokenizerFast(ByteLevelTokenizerFast):
    """BPE on bytes; nothing stands around a text. return_token_type_ids: also give token types."""

    defaults = {
        "unk_token": END_OF_TEXT, "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "add_prefix_space": False,
        "return_token_type_ids": False,
    }  # fmt: skip
    file_defaults = {
        "unk_token": literal(END_OF_TEXT), "bos_token": literal(END_OF_TEXT), "eos_token": literal(END_OF_TEXT),
        "errors": "replace", "pad_token": None, "add_bos_token": False,
    }  # fmt: skip

    def finish(self, made: bool) -> None:
        super().finish(made)
        self.return_token_type_ids: bool = self.init_kwargs["return_token_type_ids"]
        if self.return_token_type_ids:
            self.model_input_names = [*self.model_input_names, "token_type_ids"]

    def decode(  # type: ignore[override]
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        truncate_before_pattern: list[str] | None = None,
        **kwargs: Any,
    ) -> str:
        """The text of ids; of code, up to the first match of any regular expression in `truncate_before_pattern`, and
        up to the second line that begins with print or def."""
        text = str(super().decode(token_ids, skip_special_tokens, clean_up_tokenization_spaces, **kwargs))
        return self.truncate(text, truncate_before_pattern) if truncate_before_pattern else text

    def truncate(self, completion: str, truncate_before_pattern: list[str]) -> str:
        """`completion` up to where `decode` ends it."""
        for word in ("print", "def"):
            found = list(re.finditer(f"^{word}", completion, re.MULTILINE))
            if len(found) > 1:
                completion = completion[: found[1].start()]
        ends = [re.compile(pattern, re.MULTILINE).search(completion) for pattern in truncate_before_pattern]
        starts = [end.start() for end in ends if end is not None]
        return completion[: min(starts)] if starts else completion


class CodeGenTokenizer(CodeGenTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
