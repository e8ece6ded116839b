"""Record the reference's watermarks: scores, detectors, tokens. Run in the reference environment (`make reference`).

Run: python record_watermark_goldens.py

`answers(library)` is also what the test asks of xf: the same calls on the same numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent / "goldens" / "watermark.safetensors"
FIELDS = ("num_tokens_scored", "num_green_tokens", "green_fraction", "z_score", "p_value", "prediction", "confidence")
GREEN = [
    {"seeding_scheme": scheme, "context_width": width, "bias": bias, "greenlist_ratio": ratio, "hashing_key": key}
    for scheme in ("lefthash", "selfhash")
    for width in (1, 3)
    for bias, ratio, key in ((2.0, 0.25, 15485863), (-1.5, 0.6, 7919))
]
SYNTHID = [
    {"ngram_len": length, "keys": keys, "context_history_size": history, "sampling_table_size": 64,
     "sampling_table_seed": 3, "skip_first_ngram_calls": skip, "debug_mode": debug}
    for length, keys, history in ((1, [30], 1024), (2, [7, 654, 400], 3), (5, [30, 31], 1024))
    for skip, debug in ((False, False), (True, False), (False, True))
]  # fmt: skip


def tiny_model(library: Any) -> Any:
    """A Llama with drawn weights, the same everywhere."""
    config = library.LlamaConfig(
        vocab_size=99, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = library.LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
            else:
                parameter.fill_(1.0)
    return model.eval()


def answers(library: Any) -> dict[str, Tensor]:
    """What `library` says, by name."""
    model, draws = tiny_model(library), torch.Generator().manual_seed(0)
    parts = (green_scores, detections, synthid_scores, tokens, posteriors)
    return dict(itertools.chain.from_iterable(part(library, model, draws) for part in parts))


def green_scores(library: Any, model: Any, draws: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    for number, settings in enumerate(GREEN):
        processor = library.WatermarkLogitsProcessor(50, "cpu", **settings)
        for length in (1, 6):
            ids, scores = torch.randint(0, 50, (3, length), generator=draws), torch.randn(3, 50, generator=draws)
            scores[0, 5] = -torch.inf
            yield f"green.{number}.{length}", processor(ids, scores)


def detections(library: Any, model: Any, draws: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    for (number, settings), bos in itertools.product(enumerate(GREEN), (None, 1)):
        config = library.LlamaConfig(vocab_size=50, bos_token_id=bos)
        detector = library.WatermarkDetector(config, "cpu", library.WatermarkingConfig(**settings))
        ids = torch.randint(2, 50, (3, 30), generator=draws)
        ids[:, 0] = 1
        found = detector(ids, return_dict=True)
        for name in FIELDS:
            yield f"detector.{number}.{bos}.{name}", torch.tensor(np.asarray(getattr(found, name), dtype=np.float64))
        yield f"detector.{number}.{bos}", torch.tensor(detector(ids, z_threshold=0.0))


def synthid_scores(library: Any, model: Any, draws: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    for number, settings in enumerate(SYNTHID):
        processor = library.SynthIDTextWatermarkLogitsProcessor(device="cpu", **settings)
        ids = torch.randint(0, 4, (2, 16), generator=draws)
        for length in range(3, 11):
            scores = torch.randn(2, 20, generator=draws)
            scores[0, 3] = -torch.inf
            yield f"synthid.{number}.{length}", processor(ids[:, :length], scores)
        yield f"synthid.{number}.keys", processor.compute_ngram_keys(ids.unfold(1, settings["ngram_len"], 1))
        yield f"synthid.{number}.g_values", processor.compute_g_values(ids)
        yield f"synthid.{number}.fresh", processor.compute_context_repetition_mask(ids)
        yield f"synthid.{number}.written", processor.compute_eos_token_mask(ids, 3)
        yield f"synthid.{number}.mean", torch.tensor(processor.expected_mean_g_value(20, 0.4))


def tokens(library: Any, model: Any, draws: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    green = [(library.WatermarkingConfig(**settings), 3) for settings in GREEN]
    synthid = [(library.SynthIDTextWatermarkingConfig(**settings), 1) for settings in SYNTHID[:-1:2]]
    for number, (config, most_beams) in enumerate([*green, *synthid]):
        prompt = torch.randint(3, 99, (2, 5), generator=draws)
        yield f"tokens.{number}.greedy", model.generate(prompt, watermarking_config=config, max_new_tokens=12)
        torch.manual_seed(number)
        yield (
            f"tokens.{number}.sample",
            model.generate(prompt, watermarking_config=config, max_new_tokens=12, do_sample=True, top_k=20),
        )
        if most_beams > 1:
            beams = model.generate(prompt, watermarking_config=config, max_new_tokens=8, num_beams=most_beams)
            yield f"tokens.{number}.beams", beams


def posteriors(library: Any, model: Any, draws: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    for depth in (2, 5):
        torch.manual_seed(depth)
        detector = library.BayesianDetectorModel(library.BayesianDetectorConfig(depth, base_rate=0.3))
        yield from ((f"bayes.{depth}.start.{name}", value.clone()) for name, value in detector.state_dict().items())
        with torch.no_grad():
            for name, parameter in sorted(detector.named_parameters()):
                if name != "prior":
                    parameter.add_(torch.randn(parameter.shape, generator=draws) * 0.5)
        g_values = torch.randint(0, 2, (5, 11, depth), generator=draws).float()
        mask, labels = torch.randint(0, 2, (5, 11), generator=draws), torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0])
        found = detector(g_values, mask, labels=labels, loss_batch_weight=0.1, return_dict=True)
        found.loss.backward()
        yield f"bayes.{depth}.loss", found.loss.detach()
        yield f"bayes.{depth}.posterior", found.posterior_probabilities.detach()
        for name, parameter in detector.named_parameters():
            yield f"bayes.{depth}.gradient.{name}", parameter.grad
        settings = {**SYNTHID[6], "keys": list(range(30, 30 + depth))}
        processor = library.SynthIDTextWatermarkLogitsProcessor(device="cpu", **settings)
        texts = torch.randint(0, 9, (3, 20), generator=draws)
        tokenizer = type("Tokenizer", (), {"eos_token_id": 3})()
        found = library.SynthIDTextWatermarkDetector(detector, processor, tokenizer)(texts)
        yield f"bayes.{depth}.texts", found[0].detach()


if __name__ == "__main__":
    import transformers
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    recorded = {name: value.detach().clone().contiguous() for name, value in answers(transformers).items()}
    GOLDEN.parent.mkdir(exist_ok=True)
    save_file(recorded, GOLDEN, metadata={"reference": transformers.__version__})
    print(f"{len(recorded)} answers of {transformers.__version__}")
