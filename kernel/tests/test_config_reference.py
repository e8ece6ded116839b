"""Configs behave as those of the published package: 200 random configs, recorded by record_checkpoint.py."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from xf import logging
from xf.interfaces.config import PretrainedConfig

CASES = json.loads((Path(__file__).parent / "goldens" / "config_reference.json").read_text())


class Plain(PretrainedConfig):  # declared
    model_type = "plain"
    attribute_map: ClassVar = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer"}
    vocab_size: int = 10
    n_embd: int = 8
    n_layer: int = 2
    act: str = "gelu"
    scale: float | None = None
    pad_token_id: int | None = 0


class Part(PretrainedConfig):  # classic
    model_type = "part"
    base_config_key = "text_config"

    def __init__(
        self, a: Any = 1, b: Any = None, bos_token_id: Any = 5, is_decoder: bool = True, **kwargs: Any
    ) -> None:
        self.a, self.b = a, b
        super().__init__(bos_token_id=bos_token_id, is_decoder=is_decoder, **kwargs)


class Top(PretrainedConfig):  # declared, with parts
    model_type = "top"
    sub_configs: ClassVar = {"text_config": Part, "vision_config": Plain}
    text_config: Any = None
    vision_config: Any = None
    d: Any = {"x": 1, "y": {"z": 2}}
    tie_word_embeddings: bool = False


class Deep(PretrainedConfig):  # classic, needs its part
    model_type = "deep"
    has_no_defaults_at_init = True
    sub_configs: ClassVar = {"decoder": Top}

    def __init__(self, decoder: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if decoder is None:
            raise ValueError("decoder")
        self.decoder = Top(**decoder) if isinstance(decoder, dict) else decoder
        self.is_encoder_decoder = True


CLASSES = {c.__name__: c for c in (PretrainedConfig, Plain, Part, Top, Deep)}


def outcome(function: Any) -> Any:
    try:
        return function()
    except Exception as error:
        return f"raises {type(error).__name__}"


def behaviour(case: dict[str, Any]) -> Any:
    data, arguments = copy.deepcopy((case["data"], case["arguments"]))
    config, unused = CLASSES[case["class"]].from_dict(data, return_unused_kwargs=True, **arguments)
    everything = {k: v for k, v in config.to_dict().items() if k != "transformers_version"}
    return {
        "json": json.loads(config.to_json_string()),
        "text_sha": hashlib.sha256(config.to_json_string().encode()).hexdigest(),
        "all_sha": hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest(),
        "unused": sorted(k for k in unused if k != "transformers_version"),
        "num_labels": config.num_labels,
        "text": outcome(lambda: config.get_text_config().model_type),
        "decoder": outcome(lambda: config.get_text_config(decoder=True).model_type),
        "use_return_dict": config.use_return_dict,
    }


@pytest.fixture(autouse=True)
def quiet() -> Any:
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    yield
    logging.set_verbosity(before)


@pytest.mark.parametrize("part", range(10))
def test_random_configs_equal_the_recorded_ones(part: int) -> None:
    for case in CASES[part::10]:
        assert outcome(lambda case=case: behaviour(case)) == case["result"], case


def test_what_was_saved_loads_equal(tmp_path: Path) -> None:
    for number, case in enumerate(CASES[::5]):
        config = outcome(lambda case=case: CLASSES[case["class"]].from_dict(copy.deepcopy(case["data"])))
        if isinstance(config, str):
            continue
        config.save_pretrained(tmp_path / str(number))
        again = type(config).from_pretrained(tmp_path / str(number))
        again.name_or_path = config.name_or_path
        assert again == config, case
