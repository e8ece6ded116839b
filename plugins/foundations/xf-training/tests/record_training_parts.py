"""Records schedules and collators of the reference: python record_training_parts.py, with transformers 4.55.4."""

import json
import random
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import optimization
from transformers.data import data_collator

HERE = Path(__file__).parent / "goldens"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##c", "##d", "e", "f", "g"]
SCHEDULES = [
    (name, warmup, total, kwargs)
    for warmup, total in ((0, 20), (3, 20), (10, 5))
    for name, kwargs in (
        *((n, {}) for n in ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant")),
        *((n, {}) for n in ("constant_with_warmup", "inverse_sqrt")),
        ("cosine", {"num_cycles": 2.5}),
        ("cosine_with_restarts", {"num_cycles": 3}),
        ("polynomial", {"lr_end": 0.1, "power": 2.0}),
        ("cosine_with_min_lr", {"min_lr": 0.1}),
        ("cosine_with_min_lr", {"min_lr_rate": 0.2, "num_cycles": 1}),
        ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.2, "warmup_lr_rate": 0.3}),
        ("cosine_warmup_with_min_lr", {"min_lr": 0.1}),
        *(
            ("warmup_stable_decay", {"num_decay_steps": 7, "warmup_type": w, "decay_type": d, "min_lr_ratio": 0.3})
            for w in ("linear", "cosine", "1-sqrt")
            for d in ("linear", "cosine", "1-sqrt")
        ),
        ("warmup_stable_decay", {"num_decay_steps": 5, "num_stable_steps": 4, "num_cycles": 1.5}),
    )
]


def rates(name, warmup, total, kwargs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.37)
    schedule = optimization.get_scheduler(name, optimizer, warmup, total, kwargs)
    found = []
    for _ in range(25):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def plain(batch):
    return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in batch.items()}


def batches(tokenizer):
    draw = random.Random(5)
    found = []
    for case in range(60):
        tokenizer.padding_side = draw.choice(["right", "left"])
        count, width = draw.randint(1, 4), 2 * draw.randint(2, 6)
        ragged = [[2, *(draw.randint(5, 11) for _ in range(draw.randint(1, 9))), 3] for _ in range(count)]
        even = [[2, *(draw.randint(5, 11) for _ in range(width - 2)), 3] for _ in range(count)]
        mask, other = draw.choice([(0.8, 0.1), (0.5, 0.5), (0, 1), (1, 0), (0, 0), (0.3, 0.2)])
        tensors = draw.choice(["pt", "np"])
        masking = {
            "mlm_probability": draw.choice([0.15, 0.5, 1.0]), "mask_replace_prob": mask, "random_replace_prob": other,
            "seed": draw.choice([None, 3]), "return_tensors": tensors,
        }  # fmt: skip
        ids = [{"input_ids": row} for row in ragged]
        kinds = [
            ("DataCollatorForLanguageModeling", masking, ids),
            ("DataCollatorForWholeWordMask", masking, ids),
            ("DataCollatorForLanguageModeling", {"mlm": False, "pad_to_multiple_of": 4}, ids),
            ("DataCollatorForPermutationLanguageModeling", {"plm_probability": 0.3}, [{"input_ids": r} for r in even]),
            ("DataCollatorWithPadding", {"return_tensors": tensors}, [r | {"label": i} for i, r in enumerate(ids)]),
            ("DataCollatorForTokenClassification", {}, [r | {"labels": r["input_ids"]} for r in ids]),
            ("DataCollatorForSeq2Seq", {"pad_to_multiple_of": 3}, [{"input_ids": r, "labels": r[1:]} for r in ragged]),
            (
                "DataCollatorForMultipleChoice", {},
                [{"input_ids": [r, r[:2]], "attention_mask": [[1] * len(r), [1, 1]], "label": 1}
                    for r in ragged],
            ),
        ]  # fmt: skip
        name, kwargs, rows = kinds[case % len(kinds)]
        random.seed(case), np.random.seed(case), torch.manual_seed(case)
        answer = plain(getattr(data_collator, name)(tokenizer, **kwargs)(json.loads(json.dumps(rows))))
        found.append([name, kwargs, rows, tokenizer.padding_side, answer])
    return found


def main():
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.txt").write_text("\n".join(TOKENS))
        tokenizer = transformers.BertTokenizerFast(f"{folder}/vocab.txt")
    found = {
        "schedules": [[*case, rates(*case)] for case in SCHEDULES],
        "tokens": TOKENS,
        "batches": batches(tokenizer),
    }
    (HERE / "training_parts.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
