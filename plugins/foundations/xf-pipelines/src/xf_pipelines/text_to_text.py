"""What the tasks from text to text share (text2text-generation, summarization, translation): an encoder-decoder writes.

Shapes: B batch, R sequences for each input, T tokens.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from xf import logging

from .generation import generation_arguments, stop_token
from .pipeline import Pipeline
from .run import PipelineItemError

logger = logging.get_logger(__name__)


class ReturnType(enum.Enum):
    """What a result holds: ids, or text."""

    TENSORS = 0
    TEXT = 1


class TextToTextPipeline(Pipeline):
    """Base of the tasks from text to text.

    An input is a text. Its result is a list with a dictionary for each sequence: {"<return_name>_text": str}, or with
    return_tensors=True {"<return_name>_token_ids": tensor (T)}. In the results of a list of texts, lists of one
    dictionary are replaced by the dictionary.
    """

    auto_model_heads = ("seq2seq_lm",)
    loads = ("tokenizer",)
    padding_side = "right"  # of batches: on the left it would move the positions of shorter texts
    calls_generate = True
    generation_defaults: ClassVar[Mapping[str, Any]] = {"max_new_tokens": 256, "num_beams": 4}
    return_name: ClassVar[str] = "generated"

    def _sanitize_parameters(
        self,
        return_tensors: bool | None = None,
        return_text: bool | None = None,
        return_type: ReturnType | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        truncation: bool | str | None = None,
        stop_sequence: str | None = None,
        **generate_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Sort the parameters of a call.

        Args:
            return_tensors: give ids rather than text.
            return_text: give text, which is the default; return_tensors comes first.
            return_type: the same as one value.
            clean_up_tokenization_spaces: remove spaces before punctuation.
            truncation: cut texts that are longer than the model takes: True, False or a strategy's name.
            stop_sequence: stop after its first token (`stop_strings` stops after any string).
            generate_kwargs: arguments of `generate`.
        """
        if return_type is not None and not isinstance(return_type, ReturnType):
            raise ValueError(f"return_type must be a ReturnType, not {return_type!r}; return_tensors says the same")
        if return_tensors is not None and return_type is None:
            return_type = ReturnType.TENSORS if return_tensors else ReturnType.TEXT
        after: dict[str, Any] = {} if return_type is None else {"return_type": return_type}
        if clean_up_tokenization_spaces is not None:
            after["clean_up_tokenization_spaces"] = clean_up_tokenization_spaces
        if stop_sequence is not None:
            generate_kwargs["eos_token_id"] = stop_token(self.tokenizer, stop_sequence)
        return {} if truncation is None else {"truncation": truncation}, generate_kwargs, after

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Write for a text, or for each text of a list; see the class for results.

        Raises: TypeError for an input that is no text; ValueError for parameters that `generate` does not know.
        """
        result = super().__call__(inputs, *args, **kwargs)
        if not isinstance(inputs, list):
            return result
        found = [row for row in result if not isinstance(row, PipelineItemError)]
        if any(len(row) != 1 for row in found):
            return result
        return [row if isinstance(row, PipelineItemError) else row[0] for row in result]

    def check_inputs(self, input_length: int, min_length: int, max_length: int) -> bool:
        """Whether the lengths (in tokens) make sense together; a warning says what does not."""
        return True

    def preprocess(self, input_: Any, truncation: bool | str = False) -> Any:  # type: ignore[override]
        return self._tokenize(input_, truncation=truncation)

    def _tokenize(self, text: Any, truncation: bool | str) -> dict[str, Any]:
        self._check_text(text)
        inputs = dict(self.tokenizer((self.prefix or "") + text, truncation=truncation, return_tensors="pt"))
        inputs.pop("token_type_ids", None)  # some tokenizers make them; no encoder-decoder takes them
        return inputs

    def _check_text(self, text: Any) -> None:
        if not isinstance(text, str):
            raise TypeError(f"{self.task} takes a text or a list of texts, not {type(text).__name__}: {text!r:.80}")

    def _forward(self, input_tensors: Any, **generate_kwargs: Any) -> Any:
        # what a tokenizer sets for the model, such as the first token of the language, is the same for the whole batch
        settings = {name: value for name, value in input_tensors.items() if not isinstance(value, Tensor)}
        settings = {name: value[0] if isinstance(value, list) else value for name, value in settings.items()}
        inputs = {name: value for name, value in input_tensors.items() if isinstance(value, Tensor)}
        arguments = generation_arguments(self, {**settings, **generate_kwargs})
        config, count = arguments["generation_config"], inputs["input_ids"].shape[0]
        _fit_least(config, arguments)
        limits = [arguments.get(name, getattr(config, name)) for name in ("min_length", "max_length")]
        self.check_inputs(inputs["input_ids"].shape[1], *limits)
        found = self.model.generate(**inputs, **arguments)
        sequences = getattr(found, "sequences", found)
        sequences_BRT = sequences.reshape(count, -1, sequences.shape[-1])
        ends = arguments.get("eos_token_id", config.eos_token_id)
        if ends is None or "decoder_input_ids" in arguments:
            lengths = [sequences_BRT.shape[-1]] * count
        else:
            lengths = [max(_length(row_T, ends) for row_T in rows_RT.tolist()) for rows_RT in sequences_BRT]
        return {"output_ids": sequences_BRT, "length": lengths}

    def postprocess(  # type: ignore[override]
        self,
        model_outputs: Any,
        return_type: ReturnType = ReturnType.TEXT,
        clean_up_tokenization_spaces: bool = False,
    ) -> list[dict[str, Any]]:
        ids_RT: Tensor = model_outputs["output_ids"][0]
        length = model_outputs["length"]
        ids_RT = ids_RT[:, : length[0] if isinstance(length, list) else length]  # the rest belongs to the batch
        if return_type is ReturnType.TENSORS:
            return [{f"{self.return_name}_token_ids": ids_T} for ids_T in ids_RT]
        options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": clean_up_tokenization_spaces}
        return [{f"{self.return_name}_text": self.tokenizer.decode(ids_T, **options)} for ids_T in ids_RT]


def _fit_least(config: Any, arguments: dict[str, Any]) -> None:
    """Lower the least length that the model's config asks for to what the call allows, and say so.

    What a call itself contradicts is left for `generate` to refuse.
    """
    new = arguments.get("max_new_tokens", config.max_new_tokens)
    most = arguments.get("max_length", config.max_length) if new is None else 1 + new  # 1: the decoder's start
    if "min_length" not in arguments and (config.min_length or 0) > most and "decoder_input_ids" not in arguments:
        logger.warning(f"The model's settings ask for at least {config.min_length} tokens; this call allows {most}.")
        config.min_length = most


def _length(ids_T: list[int], ends: int | list[int]) -> int:
    """Up to the first end token, and with it. The first position is the decoder's start, which may be one too."""
    stops = {ends} if isinstance(ends, int) else set(ends)
    return next((position + 1 for position, token in enumerate(ids_T) if position and token in stops), len(ids_T))
