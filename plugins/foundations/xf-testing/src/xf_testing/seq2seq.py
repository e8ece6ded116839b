"""What every encoder-decoder must do: `ModelConformance` with the inputs that its heads need."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from .model import B, ModelConformance


class Seq2SeqConformance(ModelConformance):
    """Texts that are classified end with the end token, and the decoder reads the same text."""

    def make_inputs(self, model: Any, head: str, batch: int = B) -> dict[str, Tensor]:
        inputs = super().make_inputs(model, head, batch)
        if head == "sequence_classification":
            inputs.pop("decoder_input_ids", None)
            end = model.config.eos_token_id
            inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["input_ids"] == end, end + 1)
            inputs["input_ids"][:, -1] = end
        return inputs

    @pytest.mark.parametrize("side", ["right"])  # a decoder counts positions from the left end
    def test_padding_is_invisible(self, head: str, side: str) -> None:
        super().test_padding_is_invisible(head, side)
