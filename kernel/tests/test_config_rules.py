"""PretrainedConfig: declared fields, values that cannot work, keys that could act, spellings of newer files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xf.checkpoint import CheckpointError
from xf.interfaces.config import PretrainedConfig


class Small(PretrainedConfig):
    model_type = "small"
    vocab_size: int = 100
    hidden_size: int = 8
    num_attention_heads: int = 2
    image_size: int = 224
    eps: float = 1e-5
    act: str = "gelu"
    depths: list[int] = [1, 2]
    use_bias: bool = True
    rope_theta: float = 10000.0
    rope_scaling: dict | None = None
    rope_local_base_freq: float = 10000.0
    _pattern: int = 6

    def __post_init__(self) -> None:
        self.head_dim = self.hidden_size // self.num_attention_heads


class Pair(PretrainedConfig):
    model_type = "pair"
    sub_configs: ClassVar = {"text_config": Small, "vision_config": Small}
    text_config: Any = None
    vision_config: Any = None


def write(folder: Path, data: Any) -> Path:
    (folder / "config.json").write_text(data if isinstance(data, str) else json.dumps(data))
    return folder


def test_fields_are_positional_and_keyword_arguments_with_defaults_of_their_own() -> None:
    one, other = Small(50, 16), Small()
    one.depths.append(3)
    assert (one.vocab_size, one.hidden_size, one.head_dim) == (50, 16, 8)
    assert other.depths == [1, 2]
    with pytest.raises(TypeError, match="several values for"):
        Small(50, vocab_size=50)
    with pytest.raises(TypeError, match="positional arguments"):
        Small(*range(40))


def test_unknown_keys_are_kept_and_named(tmp_path: Path) -> None:
    config = Small.from_dict({"future_feature": {"a": 1}, "hidden_size": 4})
    assert config.unknown_keys == ("future_feature",)
    config.save_pretrained(tmp_path)
    assert Small.from_pretrained(tmp_path).future_feature == {"a": 1}


BAD = {
    "hidden_size": ["abc", -1, 0, None, [8], 2.5, {}],
    "num_attention_heads": [0, "2"],
    "eps": ["1e-5", {}],
    "act": [3, ["gelu"], {}],
    "use_bias": ["true", 2],
    "depths": [3, {"a": 1}],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in BAD.items() for v in values])
def test_a_value_that_cannot_work_is_refused_with_file_key_and_value(key: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config\.json of .*" + key) as caught:
        Small.from_pretrained(write(tmp_path, {key: value}))
    assert repr(value) in str(caught.value)
    with pytest.raises(ValueError, match=key):
        Pair(text_config={key: value})


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [("hidden_size", 16.0, 16), ("eps", 1, 1), ("act", None, None), ("use_bias", 1, 1), ("image_size", [3, 4], [3, 4])],
)
def test_values_that_published_files_hold_are_taken(key: str, value: Any, kept: Any) -> None:
    assert getattr(Small.from_dict({key: value}), key) == kept


HOSTILE = {
    "_attn_implementation_internal": "someone/kernel",
    "_attn_implementation": "someone/kernel",
    "attn_implementation": "someone/kernel",
    "auto_map": {"AutoModel": "modeling.Evil"},
    "trust_remote_code": True,
    "__class__": "Evil",
    "__init__": "x",
    "to_dict": 1,
    "save_pretrained": "x",
    "attribute_map": {"hidden_size": "vocab_size"},
    "sub_configs": {"text_config": "evil"},
    "use_return_dict": 3,
    "_private": 1,
}


def test_keys_that_could_act_are_ignored_and_named_at_every_depth() -> None:
    config = Pair.from_dict({**HOSTILE, "text_config": {**HOSTILE, "hidden_size": 4}})
    assert set(config.ignored_keys) == set(HOSTILE) | {f"text_config.{key}" for key in HOSTILE}
    for part in (config, config.text_config):
        assert part._attn_implementation is None
        assert part.to_dict() and callable(part.save_pretrained)
        assert not set(HOSTILE) - {"_attn_implementation_internal"} & set(vars(part))
    assert config.text_config.hidden_size == 4


def test_in_code_a_name_of_a_method_is_an_error() -> None:
    with pytest.raises(ValueError, match="to_dict"):
        Small(to_dict=1)
    with pytest.raises(ValueError, match="no key 'to_dict'"):
        Small().update_from_string("to_dict=1")


def test_private_fields_of_the_class_itself_are_read() -> None:
    assert Small.from_dict({"_pattern": 3})._pattern == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=4
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=20) | st.sampled_from(sorted(dir(Small))), JSON, max_size=6))
def test_no_file_breaks_the_object(data: dict[str, Any]) -> None:
    """Whatever a file says: a ValueError, or a config that still works."""
    try:
        config = Small.from_dict(data)
    except ValueError:
        return
    assert type(config) is Small
    assert set(json.loads(config.to_json_string(use_diff=False))) >= {"hidden_size", "model_type"}
    assert Small.from_dict(config.to_dict()).to_dict() == config.to_dict()


def test_dtype_has_two_names_and_is_text_in_files(tmp_path: Path) -> None:
    for key in ("torch_dtype", "dtype"):
        config = Small.from_pretrained(write(tmp_path, {key: "bfloat16"}))
        assert config.torch_dtype is torch.bfloat16 and config.dtype is torch.bfloat16
        assert config.to_dict()["torch_dtype"] == "bfloat16" and "dtype" not in config.to_dict()
        assert config == Small(torch_dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="float17"):
        Small(torch_dtype="float17")


def test_rope_parameters_of_newer_files_become_theta_and_scaling() -> None:
    plain = Small.from_dict(
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.5}}
    )
    assert (plain.rope_theta, plain.rope_scaling, plain.partial_rotary_factor) == (5e5, None, 0.5)
    scaled = Small(rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4})
    assert (scaled.rope_theta, scaled.rope_scaling) == (1e4, {"rope_type": "linear", "factor": 2.0})
    layered = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    }
    config = Small.from_dict({"rope_parameters": layered})
    assert (config.rope_theta, config.rope_local_base_freq) == (1e6, 1e4)
    assert config.rope_scaling == {"rope_type": "linear", "factor": 8.0}
    assert "rope_parameters" not in config.to_dict()


def test_attention_can_be_chosen_by_part() -> None:
    config = Pair(attn_implementation="eager")
    assert {config._attn_implementation, config.text_config._attn_implementation} == {"eager"}
    config._attn_implementation = {"vision_config": "sdpa"}
    assert config._attn_implementation == "eager" and config.vision_config._attn_implementation == "sdpa"
    assert config.text_config._attn_implementation == "eager"
    assert "attn" not in config.to_json_string(use_diff=False)


def test_a_part_is_read_from_the_file_of_the_whole(tmp_path: Path) -> None:
    class Part(Small):
        model_type = "part_of_pair"
        base_config_key = "text_config"

    Pair(text_config={"hidden_size": 32}).save_pretrained(tmp_path)
    assert Part.from_pretrained(tmp_path).hidden_size == 32


def test_broken_files_are_named(tmp_path: Path) -> None:
    for text, message in (("{", "not valid JSON"), ("[1]", "JSON list"), ("[" * 100_000, "not valid JSON")):
        with pytest.raises(CheckpointError, match=message):
            Small.from_pretrained(write(tmp_path, text))
    (tmp_path / "config.json").write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match="UTF-8"):
        Small.from_pretrained(tmp_path)
    (tmp_path / "config.json").rename(tmp_path / "confg.json")
    with pytest.raises(CheckpointError, match=r"no config\.json\. It holds: confg\.json"):
        Small.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="trust_remote_code"):
        Small.from_pretrained(tmp_path, trust_remote_code=True)


def test_configs_need_no_torch() -> None:
    code = (
        "import sys; from xf.interfaces.config import PretrainedConfig as P\n"
        "c = P.from_dict({'torch_dtype': 'float16', 'a': 1}); c.to_json_string()\n"
        "assert 'torch' not in sys.modules and 'huggingface_hub' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
