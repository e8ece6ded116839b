"""WatermarkDetector: counts green tokens of a text and tests the count (arXiv:2301.10226, section 4.1).

Shapes: B texts, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .configs import WatermarkingConfig
from .greenlist import WatermarkLogitsProcessor

Numbers = npt.NDArray[Any]


@dataclass
class WatermarkDetectorOutput:
    """Per text, arrays (B,).

    num_tokens_scored: n. num_green_tokens: g of them on their list. green_fraction: g / n. z_score: standard deviations
    of g above what unmarked text has. p_value: see `WatermarkDetector`. prediction: whether the text is marked.
    confidence: 1 - p_value.
    """

    num_tokens_scored: Numbers | None = None
    num_green_tokens: Numbers | None = None
    green_fraction: Numbers | None = None
    z_score: Numbers | None = None
    p_value: Numbers | None = None
    prediction: Numbers | None = None
    confidence: Numbers | None = None


class WatermarkDetector:
    """Finds marks that `WatermarkLogitsProcessor` made with the same settings.

    model_config: of the model that generated: its vocabulary size and start token. device: of the same type as that of
    generation, whose lists it draws again. watermarking_config: of generation. ignore_repeated_ngrams: count an n-gram
    that occurs several times once. max_cache_size: n-grams whose result is remembered.

    p_value is (1 - sign(z) (1 - exp(-2 z^2 / pi))) / 2, an estimate of the normal tail.
    """

    def __init__(
        self,
        model_config: Any,
        device: str | torch.device,
        watermarking_config: WatermarkingConfig | Mapping[str, Any],
        ignore_repeated_ngrams: bool = False,
        max_cache_size: int = 128,
    ) -> None:
        if not isinstance(watermarking_config, WatermarkingConfig):
            watermarking_config = WatermarkingConfig.from_dict(watermarking_config)
        self.config = watermarking_config
        self.bos_token_id = (
            model_config.decoder_start_token_id if model_config.is_encoder_decoder else model_config.bos_token_id
        )
        self.ignore_repeated_ngrams = ignore_repeated_ngrams
        self.processor = WatermarkLogitsProcessor(
            vocab_size=model_config.vocab_size, device=device, **watermarking_config.to_dict()
        )
        self._is_green = lru_cache(maxsize=max_cache_size)(self._score)

    def _score(self, ngram: tuple[int, ...]) -> bool:
        """Whether the last token of an n-gram is on the list of those before it."""
        context = torch.tensor(ngram[:-1], dtype=torch.long, device=self.processor.device)
        return self.processor.is_green(context, ngram[-1])

    def _count(self, tokens: list[int], length: int) -> tuple[int, int]:
        """(scored, green) n-grams of `length` tokens."""
        found: Any = (tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1))
        ngrams = list(dict.fromkeys(found)) if self.ignore_repeated_ngrams else list(found)
        return len(ngrams), sum(self._is_green(ngram) for ngram in ngrams)

    def __call__(
        self, input_ids: Tensor, z_threshold: float = 3.0, return_dict: bool = False
    ) -> WatermarkDetectorOutput | Numbers:
        """Look for marks in texts (B, T): whether each has one, (B,), or everything with return_dict=True.

        z_threshold: the least z_score of a marked text. The prompt, if it is there, counts like the answer.
        Raises: ValueError for texts that are too short.
        """
        if input_ids.ndim != 2:
            raise ValueError(f"input_ids must be (batch, tokens); it has shape {tuple(input_ids.shape)}.")
        if input_ids.shape[0] and input_ids.shape[1] and int(input_ids[0, 0]) == self.bos_token_id:
            input_ids = input_ids[:, 1:]
        length = self.config.context_width + (self.config.seeding_scheme == "lefthash")
        if input_ids.shape[1] < length:
            raise ValueError(
                f"A text of {input_ids.shape[1]} tokens (after the start token) is too short: at least {length} are "
                "needed for one to be scored."
            )
        counts = np.array([self._count(row, length) for row in input_ids.tolist()], dtype=np.float64).reshape(-1, 2)
        scored, green = counts[:, 0], counts[:, 1]
        ratio = self.config.greenlist_ratio
        z_score = (green - ratio * scored) / np.sqrt(scored * ratio * (1 - ratio))
        prediction = z_score > z_threshold
        if not return_dict:
            return prediction
        p_value = 1 - 0.5 * (1 + np.sign(z_score) * (1 - np.exp(-2 * z_score**2 / np.pi)))
        return WatermarkDetectorOutput(
            num_tokens_scored=scored,
            num_green_tokens=green,
            green_fraction=green / scored,
            z_score=z_score,
            p_value=p_value,
            prediction=prediction,
            confidence=1 - p_value,
        )
