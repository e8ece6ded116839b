"""EncoderDecoderConfig: the configs of two text models (arXiv:1907.12461)."""

from __future__ import annotations

from xf_blocks.composite_seq2seq import CompositeSeq2SeqConfig


class EncoderDecoderConfig(CompositeSeq2SeqConfig):
    """`encoder` and `decoder`: configs of text models, or dicts with a model_type.

    Raises: ValueError where one of them is missing.
    """

    model_type = "encoder-decoder"
