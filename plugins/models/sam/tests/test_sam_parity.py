"""SAM equals the published package (4.55.4) on a tiny random checkpoint; see sam_cases.py and record_sam.py."""

from __future__ import annotations

import importlib.util
import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from xf import AutoImageProcessor, AutoModel, AutoModelForMaskGeneration, AutoProcessor
from xf_plugin_sam.configuration import SamConfig
from xf_plugin_sam.image_processing import SamImageProcessor
from xf_plugin_sam.image_processing_fast import SamImageProcessorFast
from xf_plugin_sam.modeling import SamModel, SamVisionModel
from xf_plugin_sam.processing import SamProcessor

GOLDENS = Path(__file__).parent / "goldens"
TINY = GOLDENS / "tiny-sam"


def load_cases() -> Any:
    spec = importlib.util.spec_from_file_location("sam_cases", Path(__file__).with_name("sam_cases.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cases = load_cases()


def golden(name: str) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = json.loads((GOLDENS / f"{name}.json").read_text())
    for key, array in np.load(GOLDENS / f"{name}.npz").items():
        case, _, inner = key.partition("|")
        results[case][inner] = array
    return results


def differences(ours: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]], tolerance: float) -> list[str]:
    wrong = [f"{case}: only on one side" for case in ours.keys() ^ expected.keys()]
    for case in ours.keys() & expected.keys():
        if ours[case].keys() != expected[case].keys():
            wrong.append(f"{case}: has {sorted(ours[case])}, not {sorted(expected[case])}")
            continue
        for key, want in expected[case].items():
            have = ours[case][key]
            if not isinstance(want, np.ndarray):
                wrong += [] if have == want else [f"{case} {key}: {have!r} instead of {want!r}"]
            elif have.shape != want.shape or have.dtype != want.dtype:
                wrong.append(f"{case} {key}: {have.dtype} {have.shape} instead of {want.dtype} {want.shape}")
            elif want.dtype.kind == "f":
                off = float(np.abs(have - want).max(initial=0.0)) / max(1.0, float(np.abs(want).max(initial=0.0)))
                wrong += [] if off <= tolerance else [f"{case} {key}: off by {off}"]
            elif not np.array_equal(have, want):
                wrong.append(f"{case} {key}: {np.sum(have != want)} values differ")
    return wrong


def test_processing_equals_the_published_one() -> None:
    classes = (SamImageProcessor, SamImageProcessorFast, SamProcessor)
    library = types.SimpleNamespace(**{found.__name__: found for found in classes})
    wrong = differences(cases.run(library), golden("processing"), tolerance=1e-6)
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_outputs_states_and_gradients_equal_the_published_ones(attention: str) -> None:
    model = SamModel.from_pretrained(TINY, attn_implementation=attention)
    outputs = cases.model_outputs(model, states=attention == "eager")
    expected = golden("model")
    if attention == "sdpa":
        del expected["states"]
    wrong = differences({name: cases.flatten(out) for name, out in outputs.items()}, expected, tolerance=1e-5)
    assert not wrong, "\n".join(wrong[:20])


def test_states_are_given_by_default_although_sdpa_has_no_weights() -> None:
    model = SamModel.from_pretrained(TINY)
    prompt = cases.prompts()["boxes"]
    with torch.no_grad():
        out = model(cases.pixels(), **prompt, output_hidden_states=True, output_attentions=True)
    names = ("vision_hidden_states", "vision_attentions", "mask_decoder_attentions")
    wrong = differences(
        {"states": cases.flatten({name: out[name] for name in names})}, {"states": golden("model")["states"]}, 1e-5
    )
    assert not wrong, "\n".join(wrong)


def test_defaults_and_names_are_those_of_the_published_checkpoints() -> None:
    published = json.loads((GOLDENS / "default_config.json").read_text())
    assert json.loads(json.dumps(SamConfig().to_dict())) == published
    with torch.device("meta"):
        shapes = {name: list(tensor.shape) for name, tensor in SamModel(SamConfig()).state_dict().items()}
    assert shapes == json.loads((GOLDENS / "vit_base_names.json").read_text())


def test_every_tensor_is_accounted_for_and_saved_again(tmp_path: Path) -> None:
    model = SamModel.from_pretrained(TINY)
    assert not model.load_report.missing and not model.load_report.unexpected
    model.save_pretrained(tmp_path)
    before, after = load_file(TINY / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    saved, published = (SamConfig.from_pretrained(folder) for folder in (tmp_path, TINY))
    for part in SamConfig.sub_configs:
        assert getattr(saved, part).to_diff_dict() == getattr(published, part).to_diff_dict() | {
            "torch_dtype": "float32"
        }


def test_a_file_with_both_names_of_the_shared_table_loads_too(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = load_file(TINY / "model.safetensors")
    shared = "shared_image_embedding.positional_embedding"
    tensors["prompt_encoder.shared_embedding.positional_embedding"] = tensors[shared].clone()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((TINY / "config.json").read_text())
    model = SamModel.from_pretrained(tmp_path)
    assert not model.load_report.unexpected
    assert model.prompt_encoder.shared_embedding is model.shared_image_embedding
    assert torch.equal(model.shared_image_embedding.positional_embedding, tensors[shared])


def test_the_image_encoder_loads_alone() -> None:
    whole, part = SamModel.from_pretrained(TINY), SamVisionModel.from_pretrained(TINY)
    assert not part.load_report.missing
    with torch.no_grad():
        out = part(cases.pixels(), output_hidden_states=True)
        assert torch.equal(out.last_hidden_state, whole.get_image_embeddings(cases.pixels()))
    assert len(out.hidden_states) == 3


def test_the_front_doors_lead_here() -> None:
    assert type(AutoModelForMaskGeneration.from_pretrained(TINY)) is SamModel
    assert type(AutoModel.from_pretrained(TINY)) is SamModel
    assert type(AutoImageProcessor.from_pretrained(TINY)) is SamImageProcessor
    processor = AutoProcessor.from_pretrained(TINY)
    assert type(processor) is SamProcessor and processor.image_processor.size == {"longest_edge": 32}


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    grads = []
    for checkpointing in (False, True):
        model = SamModel.from_pretrained(TINY).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(cases.pixels(), **cases.prompts()["boxes"]).iou_scores.sum().backward()
        grads.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    assert all(torch.allclose(grads[0][name], grads[1][name], atol=1e-6) for name in grads[0])


def test_a_batch_gives_what_its_images_give_alone() -> None:
    model, prompt = SamModel.from_pretrained(TINY), cases.prompts()["both"]
    with torch.no_grad():
        together = model(cases.pixels(), **prompt)
        for i in range(2):
            alone = model(cases.pixels()[i : i + 1], **{name: value[i : i + 1] for name, value in prompt.items()})
            assert torch.allclose(together.pred_masks[i], alone.pred_masks[0], atol=1e-5)
            assert torch.allclose(together.iou_scores[i], alone.iou_scores[0], atol=1e-5)


def test_half_precision_stays_close() -> None:
    exact = SamModel.from_pretrained(TINY)
    rough = SamModel.from_pretrained(TINY, torch_dtype=torch.bfloat16)
    prompt = cases.prompts()["boxes"]
    with torch.no_grad():
        want, have = exact(cases.pixels(), **prompt), rough(cases.pixels(), **prompt)
    assert have.pred_masks.dtype == torch.bfloat16
    assert (have.iou_scores.float() - want.iou_scores).abs().max() < 0.1
