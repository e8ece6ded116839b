"""The task summarization: a shorter text that says the same.

Source: spec main_classes/pipelines.md and tasks/summarization.md.
"""

from __future__ import annotations

from typing import ClassVar

from xf import logging
from xf_pipelines.text_to_text import TextToTextPipeline

logger = logging.get_logger(__name__)


class SummarizationPipeline(TextToTextPipeline):
    """Summarize texts with an encoder-decoder model.

    A result is {"summary_text": str}, or with return_tensors=True {"summary_token_ids": tensor}. Parameters are those
    of text2text-generation; min_length and max_length (in tokens, of the summary) are checked against each text.
    """

    task = "summarization"
    default_model: ClassVar[str] = "sshleifer/distilbart-cnn-12-6@a4f8f3e"
    default_family = "bart"
    return_name = "summary"

    def check_inputs(self, input_length: int, min_length: int, max_length: int) -> bool:
        sensible = min_length <= max_length
        if not sensible:
            logger.warning(f"min_length ({min_length}) is greater than max_length ({max_length}).")
        if input_length < max_length:
            logger.warning(
                f"The text has {input_length} tokens and its summary may have {max_length}: a summary is usually "
                f"shorter. Lower max_length, for instance to {input_length // 2}."
            )
        return sensible
