"""Record what the reference (4.55.4) makes of the conversations and of functions. Run in its environment."""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

from chat_cases import CALLS, NAMES, backend, outcome, weather
from schema_cases import FUNCTIONS
from transformers import PreTrainedTokenizerFast
from transformers.utils import get_json_schema

tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend(), **NAMES)
golden = {
    "calls": [outcome(tokenizer, call) for call in CALLS],
    "schemas": {function.__name__: get_json_schema(function) for function in [weather, *FUNCTIONS]},
}
path = Path(__file__).parent / "goldens" / "chat.json"
path.write_text(json.dumps(golden, indent=0, sort_keys=True) + "\n", "utf-8")
