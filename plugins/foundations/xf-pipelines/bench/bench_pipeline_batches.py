"""Batches of a pipeline against single items, on texts of even and of very different lengths.

The encoder is the size of MiniLM (6 layers of 384) with random weights: what is measured does not depend on them.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "bench"))
from measures import Measure, finish

COUNT = 64


def lengths_of() -> dict[str, list[int]]:
    rng = random.Random(0)
    return {
        "even": [16] * COUNT,
        "one in 64 a hundred times as long": [400 if i % 64 == 0 else 4 for i in range(COUNT)],
        "natural": [min(400, max(3, int(rng.lognormvariate(3, 0.8)))) for _ in range(COUNT)],
        "uniform": [rng.randint(4, 120) for _ in range(COUNT)],
    }


def make_pipeline() -> Any:
    import torch

    from xf import BertConfig, BertModel, Pipeline

    class Lengths(Pipeline):
        """Texts are lists of ids already: only the loop and the model are measured."""

        def _sanitize_parameters(self, **parameters: Any) -> Any:
            return {}, {}, {}

        def preprocess(self, length: int) -> Any:
            ids = torch.full((1, length), 7)
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

        def _forward(self, inputs: Any) -> Any:
            return {"pooled": self.model(**inputs).last_hidden_state[:, 0]}

        def postprocess(self, outputs: Any) -> Any:
            return outputs["pooled"].shape

    torch.set_num_threads(1)
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    config = BertConfig(vocab_size=100, **sizes)
    tokenizer = type("Ids", (), {"pad_token_id": 0, "padding_side": "right"})()
    return Lengths(model=BertModel(config), tokenizer=tokenizer, device="cpu")


def seconds_of(pipe: Any, inputs: list[int], batch_size: int) -> float:
    begin = time.perf_counter()
    pipe(inputs, batch_size=batch_size)
    return time.perf_counter() - begin


def main() -> None:
    pipe, measures = make_pipeline(), []
    for name, lengths in lengths_of().items():
        random.Random(1).shuffle(lengths)
        pipe(lengths[:8])
        for batch_size in (8, 64):
            pairs = [(seconds_of(pipe, lengths, batch_size), seconds_of(pipe, lengths, 1)) for _ in range(3)]
            ours, single = (statistics.median(column) for column in zip(*pairs, strict=True))
            title = f"{COUNT} texts, lengths {name}, batches of {batch_size}"
            measures.append(Measure(title, ours, "s", base=single, base_name="one by one", target=1.05))
    finish(measures)


if __name__ == "__main__":
    main()
