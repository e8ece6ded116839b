"""Feature extractors for sequences: padding and truncation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xf.utils.enums import PaddingStrategy, TensorType
from xf.utils.tensors import is_torch_tensor, to_array
from xf_processing.batch_feature import BatchFeature
from xf_processing.feature_extraction import FeatureExtractionMixin


class SequenceFeatureExtractor(FeatureExtractionMixin):
    """A feature extractor for sequences, such as speech.

    Args:
        feature_size: how many numbers each step has.
        sampling_rate: steps per second (hertz).
        padding_value: what padding is filled with.
        padding_side: "right" or "left".
        return_attention_mask: whether `pad` returns a mask by default.
    """

    model_input_names: list[str]

    def __init__(self, feature_size: int, sampling_rate: int, padding_value: float, **kwargs: Any) -> None:
        self.feature_size, self.sampling_rate, self.padding_value = feature_size, sampling_rate, padding_value
        self.padding_side: str = kwargs.pop("padding_side", "right")
        self.return_attention_mask: bool = kwargs.pop("return_attention_mask", True)
        super().__init__(**kwargs)

    def pad(
        self,
        processed_features: Any,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | TensorType | None = None,
    ) -> BatchFeature:
        """Pad, and truncate if asked, sequences of features to one length.

        Args:
            processed_features: one item, a batch, or a list of items: the main input has shape [steps] or
                [steps, features] for each.
            padding: True or "longest" (of the batch), "max_length", False.
            max_length: in steps.
            truncation: cut what is longer than `max_length`.
            pad_to_multiple_of: round the length up.
            return_attention_mask: 1 for steps, 0 for padding (int32); by default the extractor's setting.
            return_tensors: "pt" or "np"; by default the kind that came in.

        Raises:
            ValueError: the main input is missing, or arguments that contradict each other.
        """
        features = processed_features
        if isinstance(features, (list, tuple)) and features and isinstance(features[0], Mapping):
            features = {key: [example[key] for example in features] for key in features[0]}
        main = self.model_input_names[0]
        if not isinstance(features, Mapping) or main not in features:
            got = list(features) if isinstance(features, Mapping) else type(features).__name__
            raise ValueError(f"features, or a list of them, that include {main} are needed to pad, not {got}")
        if return_attention_mask is None:
            return_attention_mask = self.return_attention_mask
        required = features[main]
        if len(required) == 0:
            return BatchFeature({**features, "attention_mask": []} if return_attention_mask else features)
        if return_tensors is None:
            inner = required
            while isinstance(inner, (list, tuple)) and len(inner):
                inner = inner[0]
            return_tensors = "pt" if is_torch_tensor(inner) else "np"
        strategy = self._get_padding_strategies(padding, max_length)
        side = self.padding_side
        if side not in ("right", "left"):
            raise ValueError(f"padding_side should be 'right' or 'left', not {side!r}")
        if truncation and max_length is None:
            raise ValueError("truncation=True needs max_length")

        batch = {key: list(value) for key, value in features.items()}
        size = len(required)
        for key, value in batch.items():
            if len(value) != size:
                raise ValueError(f"{key} has {len(value)} rows, but {main} has {size}")
        items = []
        for i in range(size):
            item = {key: to_array(value[i]) for key, value in batch.items()}
            if truncation:
                assert max_length is not None
                limit = _multiple(max_length, pad_to_multiple_of)
                for key in (main, "attention_mask"):
                    if key in item and len(item[main if key == main else key]) > limit:
                        item[key] = item[key][:limit]
            items.append(item)
        if strategy is PaddingStrategy.LONGEST:
            max_length, strategy = max(len(item[main]) for item in items), PaddingStrategy.MAX_LENGTH
        outputs: dict[str, list[Any]] = {}
        for item in items:
            for name, padded in self._pad(
                item, max_length, strategy, pad_to_multiple_of, return_attention_mask, side
            ).items():
                outputs.setdefault(name, []).append(padded.astype(np.float32) if padded.dtype == np.float64 else padded)
        return BatchFeature(outputs, tensor_type=return_tensors)

    def _pad(
        self,
        item: dict[str, np.ndarray],
        max_length: int | None,
        strategy: PaddingStrategy,
        pad_to_multiple_of: int | None,
        return_attention_mask: bool,
        side: str,
    ) -> dict[str, np.ndarray]:
        main = self.model_input_names[0]
        steps = len(item[main])
        if return_attention_mask and "attention_mask" not in item:
            item["attention_mask"] = np.ones(steps, dtype=np.int32)
        if strategy is PaddingStrategy.DO_NOT_PAD or max_length is None:
            return item
        missing = _multiple(max_length, pad_to_multiple_of) - steps
        if missing > 0:
            width = (0, missing) if side == "right" else (missing, 0)
            if return_attention_mask:
                item["attention_mask"] = np.pad(item["attention_mask"], width)
            shape = (width, (0, 0)) if self.feature_size > 1 else width
            item[main] = np.pad(item[main], shape, "constant", constant_values=self.padding_value)
        return item

    def _get_padding_strategies(
        self, padding: bool | str | PaddingStrategy = False, max_length: int | None = None
    ) -> PaddingStrategy:
        if padding is True:
            strategy = PaddingStrategy.LONGEST
        else:
            strategy = PaddingStrategy(padding) if padding else PaddingStrategy.DO_NOT_PAD
        if strategy is PaddingStrategy.MAX_LENGTH and max_length is None:
            raise ValueError("padding='max_length' needs max_length")
        if strategy is not PaddingStrategy.DO_NOT_PAD and self.padding_value is None:
            raise ValueError(
                "padding needs a padding_value: set it, for example `feature_extractor.padding_value = 0.0`"
            )
        return strategy


def _multiple(length: int, of: int | None) -> int:
    """`length`, rounded up to a multiple of `of` if that is given."""
    return length if not of else -(-length // of) * of
