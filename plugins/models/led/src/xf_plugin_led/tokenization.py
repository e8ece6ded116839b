"""LED's tokenizer on the `tokenizers` library (arXiv:2004.05150)."""

from __future__ import annotations

from typing import Any

from xf_tokenizers.byte_level_families import RobertaTokenizerFast
from xf_tokenizers.family import mask


class LEDTokenizerFast(RobertaTokenizerFast):
    """RoBERTa's pipeline: <s> text </s> and <s> text </s></s> text </s>; `pad` also pads global_attention_mask."""

    file_defaults = {**RobertaTokenizerFast.file_defaults, "mask_token": mask("<mask>", normalized=True)}

    def _pad(self, encoded_inputs: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        padded: dict[str, Any] = super()._pad(encoded_inputs, *args, **kwargs)
        marks = padded.get("global_attention_mask")
        missing = 0 if marks is None else len(padded["input_ids"]) - len(marks)
        if marks is not None and missing:
            side = kwargs.get("padding_side") or self.padding_side
            filler = [-1] * missing  # neither local (0) nor global (1)
            padded["global_attention_mask"] = [*marks, *filler] if side == "right" else [*filler, *marks]
        return padded


class LEDTokenizer(LEDTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
