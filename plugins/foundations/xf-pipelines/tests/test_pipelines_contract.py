"""The pipeline loop: order, batches, chunks, workers, errors; the factory; formats."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Dataset

import xf.pipelines
from xf import PIPELINE_REGISTRY, ChunkPipeline, Pipeline, PipelineDataFormat, PipelineException, pipeline
from xf.outputs import BaseModelOutput, ModelOutput
from xf.plugins import PluginNotInstalledError, known, registry
from xf_pipelines import batching
from xf_pipelines.pipeline import KeyDataset, KeyPairDataset, PipelineItemError

LETTERS = "abcdefghij"


class ToyConfig:
    task_specific_params = None
    model_type = "toy"


class ToyModel(nn.Module):
    """Sums embeddings of what the mask lets through; remembers the shapes it was given."""

    config, dtype = ToyConfig(), torch.float32

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.shapes = nn.Embedding(20, 4), []

    def forward(self, input_ids, attention_mask):
        self.shapes.append(tuple(input_ids.shape))
        hidden = self.embed(input_ids) * attention_mask[..., None]
        return BaseModelOutput(last_hidden_state=hidden.cumsum(1), hidden_states=(hidden, hidden * 2))


class ToyTokenizer:
    pad_token_id, padding_side = 19, "right"

    def __call__(self, text):
        ids = torch.tensor([[LETTERS.index(letter) for letter in text]])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


class Toy(Pipeline):
    """The last hidden state at the last letter."""

    task = "toy"

    def _sanitize_parameters(self, scale=None, prefix=None, decimals=None):
        given = ({"prefix": prefix}, {"scale": scale}, {"decimals": decimals})
        return tuple({k: v for k, v in part.items() if v is not None} for part in given)

    def preprocess(self, text, prefix=""):
        if text == "":
            raise ValueError("an empty text")
        return {**self.tokenizer(prefix + text), "text": text}

    def _forward(self, inputs, scale=1.0):
        text = inputs.pop("text")
        if "j" in (text if isinstance(text, str) else "".join(text)):
            raise RuntimeError("the model fails on j")
        outputs = self.model(**inputs)
        return {"outputs": outputs, "mask": inputs["attention_mask"], "text": text, "scale": scale}

    def postprocess(self, outputs, decimals=4):
        if outputs["text"] == "i":
            raise KeyError("i")
        last = outputs["mask"][0].nonzero()[-1, 0]
        state = outputs["outputs"].last_hidden_state[0, last] * outputs["scale"]
        return {"text": outputs["text"], "state": [round(x, decimals) for x in state.tolist()]}


class Words(ChunkPipeline):
    """Every word is an item of its own."""

    def _sanitize_parameters(self):
        return {}, {}, {}

    def preprocess(self, text):
        for word in text.split():
            if word == "bad":
                raise ValueError("a bad word")
            yield {**self.tokenizer(word), "word": word}

    def _forward(self, inputs):
        word = inputs.pop("word")
        return {"word": word, "state": self.model(**inputs).last_hidden_state[:, :1]}

    def postprocess(self, outputs):
        return [(output["word"], tuple(output["state"].shape)) for output in outputs]


@pytest.fixture
def toy():
    return Toy(model=ToyModel(), tokenizer=ToyTokenizer())


@pytest.fixture
def words():
    return Words(model=ToyModel(), tokenizer=ToyTokenizer())


TEXTS = ["abc", "a", "hgfedcba", "ab", "b", "abcabcabcabc"]


# --- calling


def test_one_input_a_list_a_tuple_of_none_a_generator_a_dataset(toy):
    one = [toy(text) for text in TEXTS]
    assert toy(TEXTS) == one and toy([]) == [] and isinstance(one[0], dict)
    stream = toy(text for text in TEXTS)
    assert not isinstance(stream, list) and list(stream) == one
    rows = [{"text": text, "other": text[::-1]} for text in TEXTS]
    assert list(toy(KeyDataset(rows, "text"))) == one
    assert len(KeyPairDataset(rows, "text", "other")) == 6
    assert KeyPairDataset(rows, "text", "other")[0] == {"text": "abc", "text_pair": "cba"}
    assert toy.predict("a") == toy.transform("a") == toy("a")


def test_parameters_of_a_call_come_before_those_of_the_pipeline():
    toy = Toy(model=ToyModel(), tokenizer=ToyTokenizer(), scale=2.0, decimals=3)
    plain = Toy(model=ToyModel(), tokenizer=ToyTokenizer())
    assert toy("a")["state"] == plain("a", scale=2.0, decimals=3)["state"] != plain("a")["state"]
    assert toy("a", scale=1.0, decimals=4) == plain("a")
    assert toy("a", prefix="b") != toy("a")
    with pytest.raises(TypeError, match="unexpected keyword"):
        toy("a", nonsense=1)
    with pytest.raises(ValueError, match="on_error must be"):
        toy("a", on_error="ignore")


def test_a_stream_is_not_read_ahead_of_the_results_that_are_taken(toy):
    read = []

    def texts():
        for text in TEXTS * 10:
            read.append(text)
            yield text

    stream = toy(texts(), batch_size=2)
    next(stream)
    assert len(read) == 2


def test_the_model_runs_in_eval_mode_without_gradients(toy):
    class Checks(Toy):
        def _forward(self, inputs, **parameters):
            assert not torch.is_grad_enabled() and not self.model.training
            return super()._forward(inputs, **parameters)

    model = ToyModel().train()
    assert Checks(model=model, tokenizer=ToyTokenizer())("a") == toy("a")


# --- batches


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(LETTERS[:8], min_size=1, max_size=40), min_size=1, max_size=30),
    st.integers(1, 9),
    st.sampled_from(["left", "right"]),
)
def test_a_batch_gives_what_single_items_give_in_their_order(texts, batch_size, side):
    toy = Toy(model=ToyModel(), tokenizer=ToyTokenizer())
    single = toy(texts)
    toy.tokenizer.padding_side = side
    toy.model.shapes.clear()
    assert toy(texts, batch_size=batch_size) == single
    assert max(rows for rows, _ in toy.model.shapes) <= batch_size
    assert sum(rows for rows, _ in toy.model.shapes) == len(texts)


@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 16))
def test_a_plan_takes_every_item_once_and_wastes_little(lengths, batch_size):
    items = [{"input_ids": torch.empty(1, n), "attention_mask": torch.empty(1, n)} for n in lengths]
    batches = batching.plan(items, batch_size)
    assert sorted(position for batch in batches for position in batch) == list(range(len(items)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        padding = sum(longest - lengths[i] for i in batch)
        assert len(batch) <= batch_size
        assert padding <= max(batching.WASTE * longest, batching.FREE_PADDING) * len(batch)


def test_ragged_input_needs_no_more_positions_than_single_items_but_far_fewer_calls(toy):
    """The documentation's example of a slowdown: one text in 64 is a hundred times as long."""
    texts = ["abcd" * (25 if i % 64 == 0 else 1) for i in range(640)]
    toy(texts, batch_size=64)
    positions = sum(rows * width for rows, width in toy.model.shapes)
    assert positions == sum(map(len, texts)) and len(toy.model.shapes) <= 14


def test_items_that_differ_in_more_than_length_are_not_put_together():
    def item(**values):
        return {"attention_mask": torch.ones(1, 3), "input_ids": torch.ones(1, 3, dtype=torch.long), **values}

    items = [
        item(), item(pixel_values=torch.ones(1, 3, 4, 4)), item(pixel_values=torch.ones(1, 3, 4, 5)), item(),
        {"input_values": torch.ones(1, 5)}, {"input_values": torch.ones(1, 6)},  # no mask: padding could not be hidden
        "not a mapping", "not a mapping",
    ]  # fmt: skip
    assert sorted(map(sorted, batching.plan(items, 8))) == [[0, 3], [1], [2], [4], [5], [6], [7]]


def test_padding_fills_each_key_with_its_own_value(toy):
    from xf_pipelines.run import Run

    toy.feature_extractor = type("Extractor", (), {"padding_value": -1.0})()
    run = Run(toy, ({}, {}, {}), 2, 0, False)
    keys = ("input_ids", "attention_mask", "token_type_ids", "special_tokens_mask", "p_mask", "input_values", "custom")
    items = [
        {key: torch.full((1, n), 7) for key in keys} | {"bbox": torch.full((1, n, 4), 7), "name": n} for n in (2, 4)
    ]
    joined = batching.collate(items, run._fill, "right")
    assert {key: joined[key][0, -1].item() for key in keys} == {
        "input_ids": 19, "attention_mask": 0, "token_type_ids": 0, "special_tokens_mask": 1, "p_mask": 1,
        "input_values": -1, "custom": 0,
    }  # fmt: skip
    assert joined["bbox"].shape == (2, 4, 4) and joined["bbox"][0, -1].tolist() == [0] * 4 and joined["name"] == [2, 4]
    left = batching.collate(items, run._fill, "left")
    assert left["input_ids"].tolist() == [[19, 19, 7, 7], [7] * 4]


@given(st.lists(st.integers(1, 3), min_size=1, max_size=5))
def test_splitting_undoes_joining(counts):
    total = sum(counts)
    tensor = torch.arange(total * 2).reshape(total, 2)
    outputs = BaseModelOutput(last_hidden_state=tensor, hidden_states=(tensor, (tensor, tensor)))
    entries = {"l": list(range(len(counts))), "rows": list(range(total)), "s": 3, "n": None, "cache": object()}
    parts = batching.split({"o": outputs, "t": tensor.numpy(), "loss": torch.tensor(1.0), **entries}, counts)
    assert torch.equal(torch.cat([part["o"].last_hidden_state for part in parts]), tensor)
    assert all(isinstance(part["o"], ModelOutput) and len(part["o"].hidden_states[1]) == 2 for part in parts)
    assert [part["l"] for part in parts] == list(range(len(counts)))
    assert all(part["s"] == 3 and part["n"] is None and part["loss"] == 1 and part["cache"] is None for part in parts)
    assert [len(part["t"]) for part in parts] == counts


@pytest.mark.parametrize("outputs", [torch.zeros(3, 2), {"a": [1, 2, 3]}])
def test_what_cannot_be_split_is_an_error(outputs):
    with pytest.raises(ValueError, match="A batch of 2"):
        batching.split(outputs, [1, 1])


def test_without_a_padding_token_there_are_no_batches(toy):
    toy.tokenizer.pad_token_id = None
    with pytest.raises(ValueError, match="no padding token.*pad_token_id = pipe.model.config.eos_token_id"):
        toy(["a"], batch_size=2)
    assert toy(["a"])


# --- chunks and workers


def test_an_input_of_several_items(words):
    assert words("a bb ccc") == [("a", (1, 1, 4)), ("bb", (1, 1, 4)), ("ccc", (1, 1, 4))]
    assert words(["a bb", "", "ccc d e"]) == [words("a bb"), [], words("ccc d e")]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.text(LETTERS, min_size=1, max_size=5), max_size=6), max_size=8), st.integers(2, 7))
def test_batches_take_items_of_several_inputs(inputs, batch_size):
    words = Words(model=ToyModel(), tokenizer=ToyTokenizer())
    results = words([" ".join(line) for line in inputs], batch_size=batch_size)
    assert [[word for word, _ in result] for result in results] == inputs


def test_workers_give_the_same_results_in_the_same_order(toy):
    single = toy(TEXTS * 5)
    assert toy(TEXTS * 5, num_workers=2, batch_size=4) == single
    assert list(toy((text for text in TEXTS), num_workers=1)) == single[:6]

    class Rows(Dataset):
        def __len__(self):
            return len(TEXTS)

        def __getitem__(self, i):
            return TEXTS[i]

    assert list(toy(Rows(), num_workers=2)) == list(toy(Rows())) == single[:6]


# --- errors


BAD = ["a", "", "b", "j", "i", "c"]


@pytest.mark.parametrize("batch_size", [1, 2, 6])
@pytest.mark.parametrize("workers", [0, 1])
def test_one_bad_input_is_an_error_of_that_input_with_its_index(toy, batch_size, workers):
    results = toy(BAD, batch_size=batch_size, num_workers=workers, on_error="return")
    assert [isinstance(result, PipelineItemError) for result in results] == [False, True, False, True, True, False]
    assert [(r.index, r.stage, type(r.__cause__)) for r in results if isinstance(r, PipelineItemError)] == [
        (1, "preprocess", ValueError), (3, "forward", RuntimeError), (4, "postprocess", KeyError),
    ]  # fmt: skip
    assert str(results[1]) == "Input 1 failed in preprocess: ValueError: an empty text"
    assert [results[0], results[2], results[5]] == toy(["a", "b", "c"])


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("bad, error", [("", ValueError), ("j", RuntimeError), ("i", KeyError)])
def test_otherwise_it_is_the_error_itself_with_a_note_of_where(toy, batch_size, bad, error):
    with pytest.raises(error) as raised:
        toy(["a", "b", bad], batch_size=batch_size)
    if sys.version_info >= (3, 11):
        assert "2 of the pipeline 'toy'" in raised.value.__notes__[0]
    with pytest.raises(error):
        toy(bad)
    assert isinstance(toy(bad, on_error="return"), PipelineItemError)


def test_an_error_in_the_middle_of_the_items_of_an_input_is_its_own(words):
    results = words(["a", "b bad c", "d"], on_error="return", batch_size=3)
    assert results[0] == words("a") and results[2] == words("d") and results[1].stage == "preprocess"


def test_errors_travel_between_processes():
    import pickle

    error = PipelineItemError(3, "forward", ValueError("x"))
    again = pickle.loads(pickle.dumps(error))
    assert (again.index, again.stage, str(again)) == (3, "forward", str(error))


# --- construction


def test_what_a_pipeline_cannot_be_made_of():
    with pytest.raises(ValueError, match="torch only"):
        Toy(model=ToyModel(), framework="tf")
    with pytest.raises(TypeError, match="loaded model"):
        Toy(model="name")
    if not torch.accelerator.is_available():
        with pytest.raises(ValueError, match="no accelerator"):
            Toy(model=ToyModel(), device=0)
    for device in (-1, "cpu", torch.device("cpu"), None):
        assert Toy(model=ToyModel(), device=device).device.type in ("cpu", "cuda", "mps")


def test_tensors_are_moved_wherever_they_are(toy):
    meta = torch.device("meta")
    moved = toy._ensure_tensor_on_device(
        {"a": [torch.ones(1)], "b": (torch.ones(1), "x"), "c": BaseModelOutput(last_hidden_state=torch.ones(1))}, meta
    )
    assert moved["a"][0].device == moved["b"][0].device == moved["c"].last_hidden_state.device == meta
    assert toy.ensure_tensor_on_device(x=torch.ones(1))["x"].device == toy.device


def test_images_and_sounds_take_the_dtype_of_the_model(toy):
    toy.model.dtype = torch.bfloat16
    cast = toy._cast(
        {"pixel_values": torch.ones(1), "input_ids": torch.ones(1, dtype=torch.long), "boxes": torch.ones(1)}
    )
    toy.model.dtype = torch.float32
    assert [cast[k].dtype for k in ("pixel_values", "input_ids", "boxes")] == [
        torch.bfloat16,
        torch.int64,
        torch.float32,
    ]


def test_a_model_that_does_not_fit_is_logged(toy, caplog):
    from xf import logging

    logging.enable_propagation()
    try:
        toy.check_model_type(["Other"])
        assert "ToyModel does not fit the task toy. Models that do: Other" in caplog.text
        caplog.clear()
        toy.check_model_type({"toy": "ToyModel"})
        toy.check_model_type({"toy": ToyModel})
        assert caplog.text == ""
    finally:
        logging.disable_propagation()


class Settings:
    """As much of a generation config as the pipeline touches."""

    def __init__(self, **values):
        self.max_length, self.max_new_tokens, self.temperature, self.do_sample = 20, None, 1.0, False
        self.pad_token_id = None
        vars(self).update(values)


class Generates(Toy):
    calls_generate = True
    generation_defaults = {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}


@pytest.mark.parametrize(
    "own, specific, call, expected",
    [
        ({}, {}, {}, (20, 256, 0.7)),
        ({"temperature": 0.3}, {}, {}, (20, 256, 0.7)),
        ({"max_length": 30}, {}, {}, (30, None, 0.7)),
        ({"max_length": 30, "max_new_tokens": 5}, {}, {}, (30, None, 0.7)),
        ({"max_new_tokens": 5}, {}, {}, (20, 256, 0.7)),
        ({}, {"max_length": 7, "unknown": 1}, {}, (7, 256, 0.7)),
        ({}, {}, {"max_new_tokens": 3, "temperature": 0.1}, (20, 3, 0.1)),
        ({}, {}, {"generation_config": Settings(max_new_tokens=9)}, (20, 9, 1.0)),
    ],
)
def test_settings_of_generation_are_the_pipelines_own(own, specific, call, expected):
    """The values are those that the reference's text generation ends up with."""
    model = ToyModel()
    model.config = ToyConfig()
    model.config.task_specific_params = {"toy": {**specific, "prefix": "ab"}}
    model.generation_config = Settings(**own)
    pipe = Generates(model=model, tokenizer=ToyTokenizer(), **call)
    found = pipe.generation_config
    assert (found.max_length, found.max_new_tokens, found.temperature) == expected
    assert found.pad_token_id == 19 and pipe.prefix == "ab" and pipe.assistant_model is None
    assert vars(model.generation_config) == vars(Settings(**own))


# --- the factory

FAMILY = {
    "toyfam/__init__.py": "",
    "toyfam/model.py": '''
import torch
from torch import nn
from xf import PretrainedConfig, PreTrainedModel
from xf.modeling_outputs import BaseModelOutput, MaskedLMOutput

class ToyfamConfig(PretrainedConfig):
    model_type = "toyfam"
    vocab_size: int = 10
    hidden_size: int = 4

class ToyfamPreTrainedModel(PreTrainedModel):
    config_class = ToyfamConfig
    base_model_prefix = "toyfam"

class ToyfamModel(ToyfamPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.post_init()
    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        return BaseModelOutput(last_hidden_state=self.embed(input_ids))

class ToyfamForMaskedLM(ToyfamPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.toyfam = ToyfamModel(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()
    def forward(self, input_ids=None, **kwargs):
        return MaskedLMOutput(logits=self.head(self.toyfam(input_ids).last_hidden_state))
''',
    "toyfam/tasks.py": '''
from xf import Pipeline

class ToyTask(Pipeline):
    task = "fill-mask"
    auto_model_heads = ("causal_lm", "masked_lm")
    loads = ("tokenizer",)
    default_model = "no-such-organisation/no-such-model@abc"
    def _sanitize_parameters(self, **kwargs):
        return {}, {}, kwargs
    def preprocess(self, text):
        return self.tokenizer(text, return_tensors="pt")
    def _forward(self, inputs):
        return self.model(**inputs)
    def postprocess(self, outputs, top=1):
        return outputs.logits[0, 0].topk(top).indices.tolist()

class Translates(ToyTask):
    task = "translation"
    default_model = {("en", "fr"): "x/y"}

class ImageTask(ToyTask):
    task = "image-classification"
    loads = ("image_processor",)
''',
}  # fmt: skip
ENTRY_POINTS = {
    "xf.v1.config": {"toyfam": "toyfam.model:ToyfamConfig"},
    "xf.v1.model.base": {"toyfam": "toyfam.model:ToyfamModel"},
    "xf.v1.model.masked_lm": {"toyfam": "toyfam.model:ToyfamForMaskedLM"},
    "xf.v1.task": {
        "fill-mask": "toyfam.tasks:ToyTask", "translation": "toyfam.tasks:Translates",
        "image-classification": "toyfam.tasks:ImageTask",
    },
    "xf.v1.symbol": {"PreTrainedTokenizerFast": "xf_tokenizers.tokenizer_fast:PreTrainedTokenizerFast"},
}  # fmt: skip


@pytest.fixture
def family(tmp_plugin, no_plugins):
    tmp_plugin("xf-toyfam", ENTRY_POINTS, FAMILY)
    yield
    import xf

    for name in ("ToyfamConfig", "ToyfamModel", "ToyfamForMaskedLM", "ToyTask"):
        vars(xf).pop(name, None)


@pytest.fixture
def checkpoint(family, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    from xf import ToyfamConfig, ToyfamForMaskedLM
    from xf_tokenizers.tokenizer_fast import PreTrainedTokenizerFast

    model = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3}, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "checkpoint"
    ToyfamForMaskedLM(ToyfamConfig()).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=model, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return folder


def test_a_pipeline_from_a_folder_by_task_by_model_and_by_parts(checkpoint):
    from xf import AutoTokenizer, ToyfamForMaskedLM
    from xf.pipelines import ToyTask

    by_task = pipeline("fill-mask", str(checkpoint))
    assert type(by_task) is ToyTask and type(by_task.model) is ToyfamForMaskedLM and by_task.task == "fill-mask"
    expected = by_task("a b")
    assert pipeline(model=checkpoint)("a b") == expected
    assert pipeline("fill-mask", by_task.model, tokenizer=by_task.tokenizer)("a b") == expected
    assert pipeline(model=by_task.model, tokenizer=str(checkpoint))("a b") == expected
    assert pipeline("fill-mask", str(checkpoint), config=str(checkpoint), top=2)("a b")[:1] == expected
    assert (
        pipeline("fill-mask", str(checkpoint), tokenizer=AutoTokenizer.from_pretrained(checkpoint))("a b") == expected
    )
    left = pipeline("fill-mask", str(checkpoint), tokenizer=(str(checkpoint), {"padding_side": "left"}))
    assert left.tokenizer.padding_side == "left"
    assert by_task(["a b", "a", "b b b"], batch_size=2) == by_task(["a b", "a", "b b b"])


def test_a_saved_pipeline_is_a_checkpoint(checkpoint, tmp_path):
    first = pipeline("fill-mask", str(checkpoint))
    first.save_pretrained(tmp_path / "saved")
    assert pipeline(model=str(tmp_path / "saved"))("a b") == first("a b")
    with pytest.raises(ValueError, match="is a file"):
        first.save_pretrained(checkpoint / "config.json")


def test_a_class_of_the_users_own_loads_what_the_checkpoint_has(checkpoint):
    from xf import ToyfamForMaskedLM

    class Mine(Pipeline):
        def _sanitize_parameters(self, **kwargs):
            return {}, {}, {}

        def preprocess(self, text):
            return self.tokenizer(text, return_tensors="pt")

        def _forward(self, inputs):
            return self.model(**inputs)

        def postprocess(self, outputs):
            return tuple(outputs.logits.shape)

    mine = pipeline(model=str(checkpoint), pipeline_class=Mine)
    assert mine("a b") == (1, 2, 10) and type(mine.model) is ToyfamForMaskedLM and mine.image_processor is None
    assert pipeline("fill-mask", str(checkpoint), pipeline_class=Mine)("a") == (1, 1, 10)
    assert pipeline("not-installed", str(checkpoint), pipeline_class=Mine)("a") == (1, 1, 10)


def test_dtypes_and_their_contradictions(checkpoint):
    for options in (
        {"torch_dtype": "bfloat16"},
        {"dtype": torch.bfloat16},
        {"model_kwargs": {"torch_dtype": torch.bfloat16}},
    ):
        assert pipeline("fill-mask", str(checkpoint), **options).torch_dtype == torch.bfloat16
    assert pipeline("fill-mask", str(checkpoint)).torch_dtype == torch.float32
    with pytest.raises(ValueError, match="dtype is given twice"):
        pipeline("fill-mask", str(checkpoint), torch_dtype="float16", dtype="float32")
    with pytest.raises(ValueError, match="device_map is given twice"):
        pipeline("fill-mask", str(checkpoint), device_map="cpu", model_kwargs={"device_map": "cpu"})
    with pytest.raises(ValueError, match="device and device_map"):
        pipeline("fill-mask", str(checkpoint), device_map="cpu", device="cpu")


def test_what_is_missing_is_said_when_the_pipeline_is_built(checkpoint, family, monkeypatch):
    from xf import ToyfamForMaskedLM, ToyfamModel

    monkeypatch.setenv("XF_OFFLINE", "1")
    table = {
        "xf-plugin-summarization": {"task": {"summarization": "S"}},
        "xf-toyfam-images": {"image_processor": {"toyfam": "ToyfamImageProcessor"}},
    }
    monkeypatch.setattr(known, "table", lambda: table)
    loaded = ToyfamForMaskedLM.from_pretrained(checkpoint)
    for arguments, error, message in [
        ({}, RuntimeError, "needs a task or a model"),
        ({"task": "fill-mask", "tokenizer": "x"}, RuntimeError, "given a tokenizer but no model"),
        ({"task": "fill-mask", "model": loaded}, ValueError, "needs a tokenizer, and a loaded model"),
        ({"task": "fill-mask", "model": 3}, TypeError, "model must be a name, a folder or a model"),
        ({"task": "summarization", "model": str(checkpoint)}, PluginNotInstalledError, "pip install xf-plugin-s"),
        ({"task": "fil-mask", "model": str(checkpoint)}, PluginNotInstalledError, "Did you mean 'fill-mask'"),
        ({"task": "fill-mask"}, ValueError, "default model of 'fill-mask', no-such-organisation/no-such-model"),
        ({"task": "translation_en_to_de"}, ValueError, "no default model.*translation_en_to_fr"),
        ({"task": "translation_en"}, KeyError, "translation_XX_to_YY"),
        ({"task": "fill-mask", "model": str(checkpoint), "trust_remote_code": True}, ValueError, "never runs code"),
        ({"task": "fill-mask", "model": str(checkpoint), "framework": "tf"}, ValueError, "torch only"),
        ({"task": "image-classification", "model": str(checkpoint)}, ImportError, "pip install xf-toyfam-images"),
        ({"task": "fill-mask", "model": str(checkpoint / "nothing")}, ValueError, "nothing"),
        ({"model": ToyfamModel(loaded.config), "tokenizer": "x"}, PluginNotInstalledError, "feature-extraction"),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            pipeline(**arguments)


def test_a_head_that_the_family_does_not_have_is_named_with_those_it_has(checkpoint, monkeypatch):
    from toyfam.tasks import ToyTask

    monkeypatch.setattr(ToyTask, "auto_model_heads", ("causal_lm",))
    with pytest.raises(ValueError, match="causal_lm head.*base, masked_lm"):
        pipeline("fill-mask", str(checkpoint))


def test_tasks_can_be_registered_in_this_process(checkpoint):
    from toyfam.tasks import ToyTask

    from xf import AutoModelForMaskedLM

    class Own(ToyTask):
        task = "my_own_task"

    default = {"pt": (str(checkpoint), "main")}
    PIPELINE_REGISTRY.register_pipeline("my_own_task", Own, pt_model=AutoModelForMaskedLM, default=default, type="text")
    try:
        name, entry, options = PIPELINE_REGISTRY.check_task("my_own_task")
        assert (name, entry["impl"], entry["pt"], entry["type"], options) == (
            "my_own_task",
            Own,
            (AutoModelForMaskedLM,),
            "text",
            None,
        )
        assert type(pipeline("my_own_task")) is Own and pipeline("my_own_task").task == "my_own_task"
        assert "my_own_task" in PIPELINE_REGISTRY.get_supported_tasks() and "my_own_task" in PIPELINE_REGISTRY.to_dict()
        with pytest.raises(ValueError, match="must name a model"):
            PIPELINE_REGISTRY.register_pipeline("other", Own, default={"model": {"tf": "x"}})
    finally:
        registry("task").unregister("my_own_task")
        PIPELINE_REGISTRY._entries.clear()
    assert PIPELINE_REGISTRY.check_task("translation_en_to_fr")[2] == ("en", "fr")


# --- formats


def test_formats_read_and_write(tmp_path, monkeypatch, capsys):
    rows = [{"question": "q1", "context": "c,1"}, {"question": "q2", "context": "c2"}]
    with open(tmp_path / "in.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "context"])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "in.json").write_text(json.dumps(rows))
    for kind in ("csv", "json"):
        source, target = str(tmp_path / f"in.{kind}"), str(tmp_path / f"out.{kind}")
        assert list(PipelineDataFormat.from_str(kind, None, source, "context")) == ["c,1", "c2"]
        both = PipelineDataFormat.from_str(kind, target, source, "question,text=context")
        assert list(both) == [{"question": "q1", "text": "c,1"}, {"question": "q2", "text": "c2"}]
        both.save(rows)
        assert list(PipelineDataFormat.from_str(kind, None, target, "question")) == ["q1", "q2"]
        with pytest.raises(OSError, match="already exists"):
            PipelineDataFormat.from_str(kind, target, source, "question")
        assert (
            PipelineDataFormat.from_str(kind, target, source, "question", overwrite=True)
            .save_binary([1])
            .endswith(".pickle")
        )
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\tparts\n"))
    piped = PipelineDataFormat.from_str("pipe", None, None, None)
    assert list(piped) == ["one", ("two", "parts")]
    monkeypatch.setattr(sys, "stdin", io.StringIO("two\tparts\n"))
    assert list(PipelineDataFormat.from_str("pipe", None, None, "x=a,y=b")) == [{"x": "two", "y": "parts"}]
    piped.save({"a": 1})
    assert capsys.readouterr().out == "{'a': 1}\n"
    with pytest.raises(KeyError, match="output file"):
        piped.save_binary([1])
    with pytest.raises(OSError, match="does not exist"):
        PipelineDataFormat.from_str("csv", None, "/no/such.csv", "x")
    with pytest.raises(KeyError, match="json, csv, pipe"):
        PipelineDataFormat.from_str("xml", None, None, None)


def test_the_exception_of_pipelines_tells_task_and_model():
    error = PipelineException("fill-mask", "bert", "no mask")
    assert (error.task, error.model, str(error)) == ("fill-mask", "bert", "no mask")


def test_documented_utilities_are_importable():
    import importlib

    for name in (
        "ArgumentHandler", "ZeroShotClassificationArgumentHandler", "QuestionAnsweringArgumentHandler",
        "PipelineDataFormat", "CsvPipelineDataFormat", "JsonPipelineDataFormat", "PipedPipelineDataFormat",
        "PipelineException",
    ):  # fmt: skip
        try:
            assert isinstance(getattr(xf.pipelines, name), type)
        except (PluginNotInstalledError, AttributeError):  # the handlers of two tasks come with these tasks
            assert name.startswith(("ZeroShot", "QuestionAnswering"))
    assert importlib.import_module("xf.pipelines.pt_utils").KeyDataset is KeyDataset
    assert importlib.import_module("xf.pipelines.base").Pipeline is Pipeline
