"""Live comparison with the reference on tiny random models: every head, outputs, states, attentions, gradients.

Run by `make test-reference`, which builds the reference's environment; goldens in each plugin's tests stand in for it
in `make test`.
"""

import pytest

import xf
from xf.plugins import registry
from xf_testing import ModelConformance, answer_case, assert_same_outputs, run_case

FAMILIES = {"bert": {}, "llama": {}}
NOT_SETTINGS = ("model_type", "transformers_version", "architectures", "torch_dtype")


def heads(name):
    return type("Heads", (ModelConformance,), {"name": name, "abstract": True, "__test__": False})().all_heads()


CASES = [(name, head) for name in FAMILIES for head in heads(name)]


@pytest.mark.reference
@pytest.mark.parametrize(("name", "head"), CASES)
def test_equals_the_reference(name, head):
    checks = type("Checks", (ModelConformance,), {"name": name, "abstract": True, "__test__": False})()
    config = checks.tiny_config(head)
    model = checks.make_model(head)
    inputs = checks.make_inputs(model, head)
    inputs |= checks.make_labels(model, head, inputs)
    case = {
        "config_class": type(config).__name__,
        "config": {k: v for k, v in config.to_diff_dict().items() if k not in NOT_SETTINGS},
        "model_class": registry(f"model.{head}").find(name).attribute,
        "inputs": inputs,
        "call": {"output_hidden_states": True, "output_attentions": True},
        "gradients": True,
    }
    theirs = {k: v for k, v in run_case(case).items() if not k.startswith("past_key_values")}
    assert_same_outputs(answer_case(case, library=xf), theirs)
