"""The task text2text-generation: an encoder-decoder writes a text for a text.

Source: spec main_classes/pipelines.md; the idea of one model for all such tasks is T5's (arXiv:1910.10683).
"""

from __future__ import annotations

from typing import ClassVar

from xf_pipelines.text_to_text import ReturnType, TextToTextPipeline

__all__ = ["ReturnType", "Text2TextGenerationPipeline"]


class Text2TextGenerationPipeline(TextToTextPipeline):
    """Generate texts from texts with an encoder-decoder model.

    An input is a text; what a model expects in front of it ("question: ... context: ...") is part of it, unless its
    config has a prefix. A result is {"generated_text": str}, or with return_tensors=True {"generated_token_ids":
    tensor}. Everything that `generate` takes is a parameter.
    """

    task = "text2text-generation"
    default_model: ClassVar[str] = "google-t5/t5-base@a9723ea"
    default_family = "t5"
    return_name = "generated"
