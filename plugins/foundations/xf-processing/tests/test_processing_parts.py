"""Feature extractors, image processors and processors: files, calls, conversations with media."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

import xf
from xf import (
    BatchFeature,
    FeatureExtractionMixin,
    ImageProcessingMixin,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    SequenceFeatureExtractor,
)
from xf_processing.conversation import stretch_mask

WORDS = ["<unk>", "<pad>", "<s>", "<image>", "user", "assistant", ":", "hi", "there", "yes", "no", "x"]


class TinyImageProcessor(ImageProcessingMixin):
    model_input_names = ["pixel_values"]

    def __init__(self, size: Any = 4, mean: Any = (0.5, 0.5), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = {"height": size, "width": size} if isinstance(size, int) else size
        self.mean = np.asarray(mean)

    def __call__(self, images: Any, return_tensors: str | None = None, **kwargs: Any) -> BatchFeature:
        flat = [image for group in images for image in (group if isinstance(group, list) else [group])]
        return BatchFeature({"pixel_values": [np.full((3, 4, 4), image) for image in flat]}, tensor_type=return_tensors)


class TinyProcessor(ProcessorMixin):
    attributes = ["image_processor", "tokenizer"]
    image_processor_class = "TinyImageProcessor"
    tokenizer_class = ("TinyTokenizer", "AutoTokenizer")
    image_token, image_token_id = "<image>", 3

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, patches: int = 3, **kwargs: Any) -> None:
        self.patches = patches
        super().__init__(image_processor, tokenizer, **kwargs)

    def __call__(self, images: Any = None, text: Any = None, **kwargs: Any) -> BatchFeature:
        texts = [text] if isinstance(text, str) else text
        longer = [one.replace("<image>", "<image> " * self.patches) for one in texts]
        return super().__call__(images=images, text=longer, **kwargs)


def make_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(["<image>"])
    names = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=["input_ids", "attention_mask"], **names)


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> TinyProcessor:
    monkeypatch.setattr(xf, "TinyImageProcessor", TinyImageProcessor, raising=False)
    return TinyProcessor(TinyImageProcessor(), make_tokenizer(), patches=5)


def test_settings_are_saved_and_loaded(tmp_path: Path) -> None:
    TinyImageProcessor(size=8, processor_class="TinyProcessor").save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text("utf-8"))
    assert saved == {
        "image_processor_type": "TinyImageProcessor", "mean": [0.5, 0.5], "processor_class": "TinyProcessor",
        "size": {"height": 8, "width": 8},
    }  # fmt: skip
    again = TinyImageProcessor.from_pretrained(tmp_path, size=2, unknown=1)
    assert again.size == {"height": 2, "width": 2} and not hasattr(again, "unknown")
    again, unused = TinyImageProcessor.from_pretrained(tmp_path, unknown=1, return_unused_kwargs=True)
    assert again.to_json_string() == TinyImageProcessor(size=8, processor_class="TinyProcessor").to_json_string()
    assert unused == {"unknown": 1}
    assert TinyImageProcessor.from_json_file(tmp_path / "preprocessor_config.json").size["height"] == 8


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_broken_settings(tmp_path: Path, content: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content, "utf-8")
    with pytest.raises(ValueError, match=r"preprocessor_config\.json"):
        TinyImageProcessor.from_pretrained(tmp_path)


def test_missing_settings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no preprocessor_config\.json, which TinyImageProcessor needs"):
        TinyImageProcessor.from_pretrained(tmp_path)
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(ValueError, match="is a file"):
        TinyImageProcessor().save_pretrained(tmp_path / "file")
    with pytest.raises(ValueError, match="trust_remote_code"):
        TinyImageProcessor.from_pretrained(tmp_path, trust_remote_code=True)


def test_a_feature_extractor_does_not_save_what_follows_from_its_settings() -> None:
    class Extractor(FeatureExtractionMixin):
        pass

    extractor = Extractor(rate=16)
    extractor.mel_filters, extractor.window = np.zeros((9, 9)), np.zeros(9)  # type: ignore[attr-defined]
    assert extractor.to_dict() == {"_processor_class": None, "rate": 16, "feature_extractor_type": "Extractor"}


def test_a_processor_is_saved_and_loaded(processor: Any, tmp_path: Path) -> None:
    processor.chat_template = {"default": "a", "other": "b"}
    processor.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "additional_chat_templates", "chat_template.jinja", "preprocessor_config.json", "processor_config.json",
        "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "processor_config.json").read_text()) == {
        "patches": 5,
        "processor_class": "TinyProcessor",
    }
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["processor_class"] == "TinyProcessor"
    again = TinyProcessor.from_pretrained(tmp_path)
    assert (again.patches, again.chat_template) == (5, {"default": "a", "other": "b"})
    assert type(again.image_processor) is TinyImageProcessor and again.tokenizer("hi") == processor.tokenizer("hi")
    assert TinyProcessor.from_pretrained(tmp_path, patches=9, size=2).image_processor.size == {"height": 2, "width": 2}
    assert repr(again).startswith("TinyProcessor:\n- image_processor: TinyImageProcessor {")


def test_files_of_5_keep_all_parts_together(processor: Any, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    image_processor = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").unlink()
    whole = {"image_processor": {**image_processor, "size": 7}, "processor_class": "TinyProcessor", "patches": 2}
    (tmp_path / "processor_config.json").write_text(json.dumps(whole))
    again = TinyProcessor.from_pretrained(tmp_path)
    assert again.patches == 2 and again.image_processor.size == {"height": 7, "width": 7}


def test_older_chat_template_files(processor: Any, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "old"}))
    assert TinyProcessor.from_pretrained(tmp_path).chat_template == "old"


def test_names_of_chat_templates_do_not_become_paths(processor: Any, tmp_path: Path) -> None:
    processor.chat_template = {"../../evil": "x"}
    with pytest.raises(ValueError, match="cannot be saved"):
        processor.save_pretrained(tmp_path / "inner")
    assert not list(tmp_path.rglob("*evil*"))


def test_parts_that_do_not_fit(processor: Any) -> None:
    for parts in ((processor.tokenizer, processor.image_processor), (processor.image_processor,), (1, 2), (1, 2, 3)):
        with pytest.raises(TypeError):
            ProcessorMixin.__init__(processor, *parts)
    with pytest.raises(TypeError, match="unexpected argument 'nonsense'"):
        ProcessorMixin.__init__(processor, nonsense=1)


def test_a_call_gives_each_kind_to_its_part(processor: Any) -> None:
    found = processor(images=[1.0], text=["hi <image>", "hi there yes"], padding=True, return_tensors="pt")
    assert found["input_ids"].tolist() == [[7, 3, 3, 3, 3, 3], [7, 8, 9, 1, 1, 1]]
    assert found["pixel_values"].shape == (1, 3, 4, 4) and processor.model_input_names[0] == "pixel_values"
    with pytest.raises(ValueError, match="it has no feature_extractor"):
        processor(text="hi", audio=np.zeros(3))
    with pytest.raises(ValueError, match="images, text, videos or audio"):
        ProcessorMixin.__call__(processor)
    assert processor.batch_decode([[7, 8]]) == [processor.decode([7, 8])] == ["hi there"]
    assert processor.post_process_image_text_to_text([[7, 3]]) == ["hi"]
    with pytest.raises(ValueError, match="placeholders"):
        processor._check_special_mm_tokens(["<image> <image>"], {"input_ids": [[3]]}, ["image"])


TEMPLATE = (
    "{% for m in messages %}{{ m.role }} : {% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{{ c.text if c.type == 'text' else '<image>' }} {% endfor %}{% endif %}{% endfor %}"
)
MARKED = (
    "{% for m in messages %}{{ m.role }} : {% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{% endgeneration %}{% else %}{% for c in m.content %}{{ c.text if c.type == 'text' else '<image>' }} {% endfor %}"
    "{% endif %} {% endfor %}"
)


def chat(image: Any, text: str = "hi") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": text}]}]


def test_conversations_with_images(processor: Any) -> None:
    import PIL.Image

    processor.chat_template = TEMPLATE
    image = PIL.Image.new("RGB", (2, 2))
    seen: list[Any] = []
    processor.image_processor = copy.copy(processor.image_processor)

    class Seeing(TinyImageProcessor):
        def __call__(self, images: Any, **kwargs: Any) -> BatchFeature:
            seen.append(images)
            return super().__call__([[0.0] * len(group) for group in images], **kwargs)

    processor.image_processor = Seeing()
    talk = chat(image)
    assert processor.apply_chat_template(talk) == "user : <image> hi "
    found = processor.apply_chat_template([talk, talk], tokenize=True, return_dict=True, return_tensors="pt")
    assert found["input_ids"].tolist() == [[4, 6, 3, 3, 3, 3, 3, 7]] * 2 and found["pixel_values"].shape[0] == 2
    assert [len(group) for group in seen[0]] == [1, 1] and seen[0][0][0].size == (2, 2)
    text_only = processor.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=True)
    assert text_only == [[4, 6, 7]]
    with pytest.raises(ValueError, match="chat_template is not set"):
        TinyProcessor(TinyImageProcessor(), make_tokenizer()).apply_chat_template(talk)


def test_assistant_masks_reach_over_longer_placeholders(processor: Any) -> None:
    import PIL.Image

    processor.chat_template = MARKED
    processor.image_processor.__class__ = type(
        "Any", (TinyImageProcessor,), {"__call__": lambda self, images, **kwargs: BatchFeature()}
    )
    talks = [
        [
            *chat(PIL.Image.new("RGB", (2, 2))),
            {"role": "assistant", "content": "yes there"},
            *chat(PIL.Image.new("RGB", (2, 2))),
        ],
        [*chat(PIL.Image.new("RGB", (2, 2))), {"role": "assistant", "content": "no"}],
    ]
    found = processor.apply_chat_template(
        talks, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, padding=True, return_tensors="pt"
    )
    for ids, mask, written in zip(
        found["input_ids"], found["assistant_masks"], (["yes", "there"], ["no"]), strict=True
    ):
        assert [WORDS[token] for token in ids[mask.bool()].tolist()] == written
    with pytest.raises(ValueError, match="return_dict=True"):
        processor.apply_chat_template(talks, tokenize=True, return_assistant_tokens_mask=True)


def test_stretching_a_mask() -> None:
    assert stretch_mask([1, 9, 2, 9, 3], [0, 0, 1, 0, 1], [1, 9, 9, 9, 2, 8, 9, 3], {9}) == [0, 0, 0, 0, 1, 0, 0, 1]
    assert stretch_mask([1, 2], [1, 0], [1, 2], {9}) == [1, 0]
    with pytest.raises(ValueError, match="cannot be told apart"):
        stretch_mask([1, 9, 2], [0, 0, 1], [1, 9, 9], {9})


def test_batch_features() -> None:
    data = {"a": np.zeros((2, 3)), "b": [1, 2], "c": [np.zeros(2), np.ones(2)], "d": [torch.zeros(2), torch.ones(2)]}
    found = BatchFeature(data, tensor_type="pt")
    assert isinstance(found, dict) and found.a is found["a"] and {**found} == found.data
    assert {key: tuple(value.shape) for key, value in found.items()} == {
        "a": (2, 3),
        "b": (2,),
        "c": (2, 2),
        "d": (2, 2),
    }
    found.to(torch.float16)
    assert found["a"].dtype == torch.float16 and found["b"].dtype == torch.int64
    assert found.to("cpu", dtype=torch.float32)["c"].dtype == torch.float32
    nested = BatchFeature({"x": [[torch.zeros(2)], [torch.ones(2)]]}).to(torch.float64)
    assert nested["x"][0][0].dtype == torch.float64
    with pytest.raises(ValueError, match="device or a torch dtype"):
        found.to(3.5)
    with pytest.raises(ValueError, match="tensor of `x`"):
        BatchFeature({"x": [[1], [1, 2]]}, tensor_type="pt")
    with pytest.raises(KeyError, match="no name of an input"):
        _ = found[0]
    with pytest.raises(AttributeError, match="its keys are"):
        _ = found.nonsense


def test_padding_says_what_is_wrong() -> None:
    class Extractor(SequenceFeatureExtractor):
        model_input_names = ["input_values"]

    extractor = Extractor(1, 16000, 0.0)
    for features, arguments, says in (
        ({"x": [1]}, {}, "include input_values"),
        ({"input_values": [[1.0]]}, {"truncation": True}, "needs max_length"),
        ({"input_values": [[1.0]]}, {"padding": "max_length"}, "needs max_length"),
        ({"input_values": [[1.0], [2.0]], "y": [1]}, {}, "has 1 rows"),
    ):
        with pytest.raises(ValueError, match=says):
            extractor.pad(features, **arguments)
    assert extractor.pad({"input_values": [torch.ones(2), torch.ones(3)]})["input_values"].shape == (2, 3)
    extractor.padding_value = None
    with pytest.raises(ValueError, match="padding_value"):
        extractor.pad({"input_values": [[1.0]]})
