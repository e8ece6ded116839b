"""Make a tiny TAPAS tokenizer and record what the reference (4.55.4, with pandas < 3) encodes. Run it there."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "goldens"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = "what is the how many total name age year city actors movies number of brad pitt george clo ##oney old 1998 may"
CELLS = [
    "abc",
    "brad pitt",
    "12",
    "1998",
    "may 5, 1998",
    "n/a",
    "",
    "x y",
    "1,000",
    "old",
    "\u00e9",
    "$5",
    "1990s",
    "5",
    "7",
]
QUESTIONS = ["what", "total", "how many 5", "1998", "may", "twelve", "first ?", "name", "greater than 7", "may 5, 1998"]


def column(rng: random.Random, rows: int) -> list[str]:
    kind = rng.choice(["numbers", "dates", "years", "anything"])
    choices = {
        "numbers": ["1", "2", "7", "12", "100", "1.5", "-7"],
        "dates": ["may 5", "june 7, 1998", "1998", "may 1999"],
    }
    cells = choices.get(kind, [str(year) for year in range(1690, 2025, 9)] if kind == "years" else CELLS)
    return [rng.choice(CELLS) if rng.random() < 0.15 else rng.choice(cells) for _ in range(rows)]


def calls(count: int = 60) -> list[dict[str, Any]]:
    """Tables, questions and options."""
    rng = random.Random(7)
    made = []
    for _ in range(count):
        rows, columns = rng.randint(1, 5), rng.randint(1, 3)
        table = {
            f"{rng.choice(['name', 'age', 'number of movies', '?'])} {i}": column(rng, rows) for i in range(columns)
        }
        questions = [" ".join(rng.sample(QUESTIONS, rng.randint(1, 3))) for _ in range(rng.randint(1, 3))]
        options: dict[str, Any] = {}
        if rng.random() < 0.5:
            options |= {"truncation": True, "max_length": rng.randint(14, 60)}
        if rng.random() < 0.5:
            options["padding"] = rng.choice([True, "max_length"])
        if rng.random() < 0.4:
            cells = [[rng.randrange(rows), rng.randrange(columns)] for _ in questions]
            names = list(table)
            options["answer_coordinates"] = [[cell] for cell in cells]
            options["answer_text"] = [[table[names[c]][r]] for r, c in cells]
        if len(questions) == 1:
            options = {k: v[0] if k.startswith("answer") else v for k, v in options.items()}
        settings = rng.choice([{}, {}, {}, {"cell_trim_length": 2}, {"strip_column_names": True}, {"max_row_id": 4}])
        made.append(
            {"table": table, "queries": questions if len(questions) > 1 else questions[0], **options, "set": settings}
        )
    return made


def main() -> None:
    import pandas
    from transformers import TapasTokenizer

    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "[EMPTY]",
        *LETTERS,
        *("##" + c for c in LETTERS),
        *"?.,!-/$%",
    ]
    HERE.mkdir(exist_ok=True)
    (HERE / "vocab.txt").write_text("\n".join([*vocabulary, *WORDS.split()]) + "\n", "utf-8")
    TapasTokenizer(str(HERE / "vocab.txt"), model_max_length=96).save_pretrained(HERE / "tokenizer")
    (HERE / "vocab.txt").unlink()
    answers = []
    for call in calls():
        tokenizer = TapasTokenizer.from_pretrained(HERE / "tokenizer", **call.pop("set"))
        table = pandas.DataFrame.from_dict(call.pop("table")).astype(object)
        try:
            answers.append(json.loads(json.dumps(dict(tokenizer(table, **call))).replace("NaN", "null")))
        except ValueError:
            answers.append("error")
    (HERE / "tapas_tokenizer.json").write_text(json.dumps(answers, separators=(",", ":")) + "\n", "utf-8")
    print(sum(answer == "error" for answer in answers), "errors of", len(answers), file=sys.stderr)


if __name__ == "__main__":
    main()
