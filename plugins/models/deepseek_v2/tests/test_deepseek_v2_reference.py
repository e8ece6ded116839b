"""DeepSeek-V2 equals the reference on recorded answers: outputs, states, attentions, losses, gradients, tokens."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("deepseek_v2_*.safetensors"))


class TestDeepseekV2Conformance(ModelConformance):
    name = "deepseek_v2"
    settings: ClassVar[dict] = {
        "n_routed_experts": 8,
        "n_group": 4,
        "topk_group": 2,
        "num_experts_per_tok": 3,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 16,
        "q_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "moe_intermediate_size": 16,
        "num_key_value_heads": 4,
    }


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 4


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    case, inputs, expected = load_golden(next(path for path in GOLDENS if path.stem.endswith("_lm")))
    answer_case({**case, "save": str(tmp_path)}, library=xf)
    ours = answer_case({**case, "inputs": inputs, "checkpoint": str(tmp_path)}, library=xf)
    assert_same_outputs(ours, expected)
