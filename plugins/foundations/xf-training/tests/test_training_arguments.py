"""Arguments: what they become as dicts, set together, and from the command line."""

import enum
import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from xf import HfArgumentParser, Seq2SeqTrainingArguments, TrainingArguments


def arguments(folder, **more):
    return TrainingArguments(str(folder), report_to="none", use_cpu=True, **more)


def test_as_a_dict_names_are_plain_and_tokens_are_hidden(tmp_path):
    args = arguments(tmp_path, hub_token="secret", debug="underflow_overflow", eval_strategy="steps")
    found = args.to_dict()
    assert found["hub_token"] == "<HUB_TOKEN>" and "secret" not in f"{args}{args.to_json_string()}"
    assert (found["eval_strategy"], found["eval_steps"], found["do_eval"]) == ("steps", 500, True)
    assert found["debug"] == ["underflow_overflow"] and json.loads(args.to_json_string()) == found
    assert all(type(value) in (bool, int, float, str) for value in args.to_sanitized_dict().values())
    again = TrainingArguments(**{k: v for k, v in found.items() if not k.endswith("_token")})
    assert again.to_dict() | {"hub_token": "", "push_to_hub_token": ""} == found | {
        "hub_token": "",
        "push_to_hub_token": "",
    }


def test_groups_of_arguments_are_set_together(tmp_path):
    args = (
        arguments(tmp_path)
        .set_training(batch_size=3, num_epochs=1)
        .set_evaluate("steps", steps=3)
        .set_logging("epoch", report_to="none")
        .set_save("no")
        .set_optimizer("sgd", learning_rate=0.5)
        .set_lr_scheduler("cosine", warmup_ratio=0.1)
        .set_dataloader(train_batch_size=5, sampler_seed=4)
        .set_testing(batch_size=9)
        .set_push_to_hub("me/model")
    )
    found = args.to_dict()
    expected = {"do_train": True, "do_eval": True, "do_predict": True, "eval_steps": 3, "logging_strategy": "epoch"}
    expected |= {"save_strategy": "no", "optim": "sgd", "learning_rate": 0.5, "lr_scheduler_type": "cosine"}
    expected |= {"per_device_train_batch_size": 5, "per_device_eval_batch_size": 9, "data_seed": 4}
    assert {name: found[name] for name in expected} == expected and found["hub_model_id"] == "me/model"
    assert args.get_warmup_steps(25) == 3
    with pytest.raises(ValueError, match="every 0 steps"):
        args.set_save(steps=0)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Options:
    count: int
    share: float = 0.5
    flag: bool = False
    name: str | None = None
    colour: Colour = "red"
    sizes: list[int] = field(default_factory=list)
    kind: Literal["p", 3] = "p"
    on: bool = True
    maybe: bool | None = None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--count 1", Options(1)),
        (
            "--count 2 --share 3 --flag --name q --sizes 1 2 --kind 3 --no_on",
            Options(2, 3.0, True, "q", sizes=[1, 2], kind=3, on=False),
        ),
        ("--count 1 --flag no --on false --maybe true --colour blue", Options(1, on=False, maybe=True, colour="blue")),
        ("--count 1 --no-on", Options(1, on=False)),
    ],
)  # fmt: skip
def test_dataclasses_from_the_command_line(words, expected):
    assert HfArgumentParser(Options).parse_args_into_dataclasses(words.split()) == (expected,)


def test_what_belongs_to_no_dataclass(tmp_path, capsys):
    parser = HfArgumentParser(Options)
    with pytest.raises(ValueError, match="'--other', '2'"):
        parser.parse_args_into_dataclasses(["--count", "1", "--other", "2"])
    assert parser.parse_args_into_dataclasses(["--count", "1", "--other"], return_remaining_strings=True)[1] == [
        "--other"
    ]
    with pytest.raises(ValueError, match="other"):
        parser.parse_dict({"count": 1, "other": 2})
    assert parser.parse_dict({"count": 1, "other": 2}, allow_extra_keys=True) == (Options(1),)
    with pytest.raises(SystemExit):
        parser.parse_args_into_dataclasses(["--count", "many"])
    assert "invalid int value" in capsys.readouterr().err


def test_files_of_arguments(tmp_path):
    parser = HfArgumentParser(Options)
    (tmp_path / "a.json").write_text('{"count": 4}')
    (tmp_path / "a.yaml").write_text("count: 5\nsizes: [1, 2]\n")
    (tmp_path / "a.args").write_text("--count 6 --flag")
    (tmp_path / "broken.json").write_text("{")
    assert parser.parse_json_file(tmp_path / "a.json") == (Options(4),)
    assert parser.parse_yaml_file(tmp_path / "a.yaml") == (Options(5, sizes=[1, 2]),)
    assert parser.parse_args_into_dataclasses(["--share", "1"], args_filename=tmp_path / "a.args")[0].count == 6
    flagged = parser.parse_args_into_dataclasses(["--args", str(tmp_path / "a.args")], args_file_flag="--args")
    assert flagged[0].flag
    with pytest.raises(ValueError, match="not valid JSON"):
        parser.parse_json_file(tmp_path / "broken.json")


def test_training_arguments_from_the_command_line(tmp_path):
    words = f"--output_dir {tmp_path} --learning_rate 1e-3 --use_cpu --eval_strategy epoch --report_to none"
    args = HfArgumentParser(Seq2SeqTrainingArguments).parse_args_into_dataclasses(
        [
            *words.split(),
            "--label_names",
            "a",
            "b",
            "--lr_scheduler_kwargs",
            '{"num_cycles": 2}',
            "--predict_with_generate",
        ]
    )[0]
    assert (args.learning_rate, args.label_names, args.lr_scheduler_kwargs) == (1e-3, ["a", "b"], {"num_cycles": 2})
    assert args.predict_with_generate and args.eval_strategy.value == "epoch" and args.report_to == []
