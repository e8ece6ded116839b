"""Record what the reference (4.55.4) does. Run in its environment.

Without postponed annotations: the reference reads the hints of typed dictionaries as they stand.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

from processing_cases import MERGES, outcome, pad_calls
from transformers import SequenceFeatureExtractor
from transformers.processing_utils import ImagesKwargs, ProcessingKwargs, ProcessorMixin


class Extractor(SequenceFeatureExtractor):
    model_input_names = ["input_values", "attention_mask"]


class Kwargs(ProcessingKwargs, total=False):
    images_kwargs: ImagesKwargs
    _defaults = {"text_kwargs": {"padding": False}, "images_kwargs": {"do_resize": True}}


def merged(given: dict[str, Any]) -> Any:
    processor = ProcessorMixin.__new__(ProcessorMixin)
    processor.tokenizer = SimpleNamespace(init_kwargs={"padding_side": "left", "vocab": 1})
    try:
        return processor._merge_kwargs(Kwargs, tokenizer_init_kwargs={"padding_side": "left", "vocab": 1}, **given)
    except ValueError:
        return "error"


golden = {
    "pad": [outcome(Extractor, case) for case in pad_calls(3, 150)],
    "merged": [merged(dict(given)) for given in MERGES],
}
path = Path(__file__).parent / "goldens" / "processing.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n", "utf-8")
