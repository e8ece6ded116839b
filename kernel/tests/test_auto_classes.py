"""The auto classes choose among what is installed: by model type, head, class name; errors say what is missing."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xf.auto as auto
from xf import logging
from xf.checkpoint import CheckpointError
from xf.plugins import PluginError, PluginNotInstalledError, registry

_spec = importlib.util.spec_from_file_location("checkpoint_toy", Path(__file__).with_name("checkpoint_toy.py"))
toy = sys.modules.setdefault("checkpoint_toy", importlib.util.module_from_spec(_spec))
if not hasattr(toy, "ToyConfig"):
    _spec.loader.exec_module(toy)

TOY = Path(__file__).parent / "goldens" / "checkpoint_toy" / "single"

# the documented names; facts of the published package
DOCUMENTED = """
AutoBackbone AutoConfig AutoFeatureExtractor AutoImageProcessor AutoModel AutoModelForAudioClassification
AutoModelForAudioFrameClassification AutoModelForAudioTokenization AutoModelForAudioXVector AutoModelForCTC
AutoModelForCausalLM AutoModelForDepthEstimation AutoModelForDocumentQuestionAnswering AutoModelForImageClassification
AutoModelForImageSegmentation AutoModelForImageTextToText AutoModelForImageToImage AutoModelForInstanceSegmentation
AutoModelForKeypointDetection AutoModelForKeypointMatching AutoModelForMaskGeneration AutoModelForMaskedImageModeling
AutoModelForMaskedLM AutoModelForMultipleChoice AutoModelForNextSentencePrediction AutoModelForObjectDetection
AutoModelForPreTraining AutoModelForQuestionAnswering AutoModelForSemanticSegmentation AutoModelForSeq2SeqLM
AutoModelForSequenceClassification AutoModelForSpeechSeq2Seq AutoModelForTableQuestionAnswering
AutoModelForTextEncoding AutoModelForTextToSpectrogram AutoModelForTextToWaveform AutoModelForTimeSeriesPrediction
AutoModelForTokenClassification AutoModelForUniversalSegmentation AutoModelForVideoClassification AutoModelForVision2Seq
AutoModelForVisualQuestionAnswering AutoModelForZeroShotImageClassification AutoModelForZeroShotObjectDetection
AutoModelWithLMHead AutoProcessor AutoTokenizer AutoVideoProcessor
""".split()


@pytest.fixture
def toys() -> Iterator[None]:
    auto.AutoConfig.register("toy", toy.ToyConfig)
    auto.AutoModel.register(toy.ToyConfig, toy.ToyModel)
    auto.AutoModelForCausalLM.register(toy.ToyConfig, toy.ToyForCausalLM)
    yield
    for group in ("config", "model.base", "model.causal_lm"):
        registry(group).unregister("toy")


def folder_with(folder: Path, **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_every_documented_name_is_there() -> None:
    assert [name for name in DOCUMENTED if not hasattr(auto, name)] == []
    for name in DOCUMENTED:
        with pytest.raises(OSError, match="from_pretrained"):
            getattr(auto, name)()


def test_models_are_found_by_type_and_head(toys: None) -> None:
    model = auto.AutoModelForCausalLM.from_pretrained(TOY, torch_dtype="auto", attn_implementation="eager")
    assert type(model) is toy.ToyForCausalLM and model.load_report.ok
    assert model.config._attn_implementation == "eager" and model.name_or_path == str(TOY)
    base, info = auto.AutoModel.from_pretrained(TOY, output_loading_info=True, initializer_range=0.5)
    assert type(base) is toy.ToyModel and base.config.initializer_range == 0.5
    assert info["unexpected_keys"] == ["head.bias"]
    config = auto.AutoConfig.from_pretrained(TOY, hidden_size=8)
    made = auto.AutoModel.from_config(config, torch_dtype="float16")
    assert made.config is config and made.embed.weight.shape == (50, 8) and str(made.dtype) == "torch.float16"
    given = auto.AutoModel.from_pretrained(TOY, config=auto.AutoConfig.from_pretrained(TOY))
    assert given.load_report.used == base.load_report.used


def test_configs(toys: None) -> None:
    config, unused = auto.AutoConfig.from_pretrained(TOY, hidden_size=4, other=1, return_unused_kwargs=True)
    assert (type(config), config.hidden_size, unused) == (toy.ToyConfig, 4, {"other": 1})
    assert config.name_or_path == str(TOY)
    assert auto.AutoConfig.for_model("toy", hidden_size=3).hidden_size == 3


def test_a_head_the_family_lacks_is_said_with_those_it_has(toys: None) -> None:
    with pytest.raises(ValueError, match="needs a masked_lm head.*it has: base, causal_lm"):
        auto.AutoModelForMaskedLM.from_pretrained(TOY)
    with pytest.raises(ValueError, match="needs a config, not str"):
        auto.AutoModel.from_config("toy")


def test_an_older_class_takes_the_first_head_there_is(toys: None) -> None:
    assert type(auto.AutoModelWithLMHead.from_pretrained(TOY)) is toy.ToyForCausalLM


def test_architectures_choose_where_a_family_has_several_classes(toys: None) -> None:
    class OtherToy(toy.ToyModel):
        pass

    registry("model.base").register("toy/OtherToy", OtherToy)
    try:
        assert type(auto.AutoModel.from_config(toy.ToyConfig(architectures=["OtherToy"]))) is OtherToy
        assert type(auto.AutoModel.from_config(toy.ToyConfig(architectures=["Unknown"]))) is toy.ToyModel
    finally:
        registry("model.base").unregister("toy/OtherToy")


def test_what_is_not_installed_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    tmp_path = tmp_path_factory.mktemp("xyz")  # a name that says no model type: old files are known by theirs
    folder_with(tmp_path, config={"model_type": "no_such_type"})
    for load in (auto.AutoConfig, auto.AutoModel, auto.AutoModelForCausalLM):
        with pytest.raises(PluginNotInstalledError, match="no_such_type"):
            load.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no model_type"):
        auto.AutoConfig.from_pretrained(folder_with(tmp_path, config={}))
    with pytest.raises(ValueError, match="has no model_type"):
        auto.AutoConfig.from_pretrained(folder_with(tmp_path, config={"model_type": ["x"]}))
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        auto.AutoModel.from_pretrained(tmp_path)


def test_a_model_type_that_only_the_name_tells_is_told(
    toys: None, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    data = json.loads((TOY / "config.json").read_text())
    model_type = data.pop("model_type")
    folder = tmp_path_factory.mktemp(f"an-old-{model_type}-file")
    folder_with(folder, config=data)
    logging.enable_propagation()
    try:
        assert auto.AutoConfig.from_pretrained(folder).model_type == model_type
    finally:
        logging.disable_propagation()
    assert f"by its name it is read as {model_type!r}" in caplog.text


def test_remote_code_is_refused_and_never_looked_at(toys: None, tmp_path: Path) -> None:
    for name in DOCUMENTED:
        with pytest.raises(ValueError, match="never runs code"):
            getattr(auto, name).from_pretrained(TOY, trust_remote_code=True)
    shutil.copytree(TOY, tmp_path, dirs_exist_ok=True)
    data = json.loads((tmp_path / "config.json").read_text())
    evil = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    folder_with(tmp_path, config={**data, "auto_map": evil, "trust_remote_code": True})
    (tmp_path / "evil.py").write_text("raise SystemExit('was run')")
    model = auto.AutoModel.from_pretrained(tmp_path, trust_remote_code=False)
    assert type(model) is toy.ToyModel and "auto_map" in model.config.ignored_keys


def test_register_refuses_what_does_not_fit(toys: None) -> None:
    with pytest.raises(ValueError, match="has model_type 'toy', not 'tay'"):
        auto.AutoConfig.register("tay", toy.ToyConfig)
    auto.AutoModel.register(toy.ToyConfig, toy.ToyModel)  # the same once more
    with pytest.raises(ValueError, match="already provided"):
        auto.AutoModel.register(toy.ToyConfig, toy.ToyForCausalLM)
    auto.AutoModel.register(toy.ToyConfig, toy.ToyForCausalLM, exist_ok=True)
    assert type(auto.AutoModel.from_config(toy.ToyConfig())) is toy.ToyForCausalLM

    class OtherConfig(toy.ToyConfig):
        pass

    with pytest.raises(ValueError, match="config_class is ToyConfig, not OtherConfig"):
        auto.AutoModel.register(OtherConfig, toy.ToyModel)


@pytest.fixture
def plugin(tmp_plugin: Any) -> Any:
    """An installed plugin with a tokenizer, processors and a model class."""
    code = """
class Loads:
    @classmethod
    def from_pretrained(cls, checkpoint, *inputs, **kwargs):
        return (cls.__name__, kwargs)
class RhoTokenizerFast(Loads): ...
class SigmaTokenizer(Loads): ...
class RhoImageProcessor(Loads): ...
class RhoFeatureExtractor(Loads): ...
class RhoVideoProcessor(Loads): ...
class RhoProcessor(Loads): ...
class RhoModel(Loads): ...
"""
    entries = {
        "xf.v1.tokenizer": {"rho": "rho_plugin:RhoTokenizerFast", "sigma": "rho_plugin:SigmaTokenizer"},
        "xf.v1.image_processor": {"rho": "rho_plugin:RhoImageProcessor"},
        "xf.v1.feature_extractor": {"rho": "rho_plugin:RhoFeatureExtractor"},
        "xf.v1.video_processor": {"rho": "rho_plugin:RhoVideoProcessor"},
        "xf.v1.processor": {"rho": "rho_plugin:RhoProcessor"},
        "xf.v1.model.base": {"rho": "rho_plugin:RhoModel"},
    }
    return tmp_plugin("rho-plugin", entries, {"rho_plugin/__init__.py": code})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"tokenizer_config": {"tokenizer_class": "RhoTokenizerFast"}}, "RhoTokenizerFast"),
        ({"tokenizer_config": {"tokenizer_class": "RhoTokenizer"}}, "RhoTokenizerFast"),
        ({"tokenizer_config": {"tokenizer_class": "SigmaTokenizerFast"}}, "SigmaTokenizer"),
        ({"config": {"model_type": "rho", "tokenizer_class": "SigmaTokenizer"}}, "SigmaTokenizer"),
        ({"config": {"model_type": "rho"}}, "RhoTokenizerFast"),
        (
            {"tokenizer_config": {"tokenizer_class": "GoneTokenizer"}, "config": {"model_type": "rho"}},
            "RhoTokenizerFast",
        ),
        ({"config": {"model_type": "encoder-decoder", "encoder": {"model_type": "rho"}}}, "RhoTokenizerFast"),
    ],
)
def test_tokenizers_by_class_name_or_type(plugin: Any, files: Any, expected: str, tmp_path: Path) -> None:
    assert auto.AutoTokenizer.from_pretrained(folder_with(tmp_path / "checkpoint", **files), flag=1)[0] == expected


def test_a_tokenizer_type_can_be_given(plugin: Any, tmp_path: Path) -> None:
    assert auto.AutoTokenizer.from_pretrained(tmp_path, tokenizer_type="sigma")[0] == "SigmaTokenizer"


PARTS = [
    # class, file, what it holds, what is found
    ("ImageProcessor", "preprocessor_config", {"image_processor_type": "RhoImageProcessor"}, "RhoImageProcessor"),
    ("ImageProcessor", "preprocessor_config", {"image_processor_type": "RhoImageProcessorFast"}, "RhoImageProcessor"),
    ("ImageProcessor", "preprocessor_config", {"feature_extractor_type": "RhoFeatureExtractor"}, "RhoImageProcessor"),
    ("ImageProcessor", "processor_config", {"image_processor": {"image_processor_type": "RhoImageProcessor"}},
     "RhoImageProcessor"),
    ("FeatureExtractor", "preprocessor_config", {"feature_extractor_type": "RhoFeatureExtractor"},
     "RhoFeatureExtractor"),
    ("VideoProcessor", "video_preprocessor_config", {"video_processor_type": "RhoVideoProcessor"}, "RhoVideoProcessor"),
    ("VideoProcessor", "config", {"model_type": "rho"}, "RhoVideoProcessor"),
    ("Processor", "preprocessor_config", {"processor_class": "RhoProcessor"}, "RhoProcessor"),
    ("Processor", "tokenizer_config", {"processor_class": "RhoProcessor"}, "RhoProcessor"),
    ("Processor", "config", {"model_type": "rho"}, "RhoProcessor"),
    ("Processor", "tokenizer_config", {"tokenizer_class": "SigmaTokenizer"}, "SigmaTokenizer"),
    ("Processor", "preprocessor_config", {"image_processor_type": "RhoImageProcessor"}, "RhoImageProcessor"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "file", "content", "expected"), PARTS)
def test_processors_by_class_name_or_type(
    plugin: Any, kind: str, file: str, content: Any, expected: str, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path / "checkpoint", **{file: content})
    assert getattr(auto, f"Auto{kind}").from_pretrained(folder)[0] == expected


@pytest.mark.parametrize("name", ["RhoModel", "os", "os.system", "RhoProcessor", "__class__", "../x"])
def test_a_file_cannot_choose_another_kind_of_class(plugin: Any, name: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="no installed plugin offers it as a tokenizer"):
        auto.AutoTokenizer.from_pretrained(folder_with(tmp_path, tokenizer_config={"tokenizer_class": name}))


def test_a_checkpoint_without_anything_says_so(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("")
    for name in ("AutoTokenizer", "AutoImageProcessor", "AutoFeatureExtractor", "AutoVideoProcessor"):
        with pytest.raises(ValueError, match=r"It holds: readme\.txt"):
            getattr(auto, name).from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no part of one loads"):
        auto.AutoProcessor.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["TokenizersBackend", "PreTrainedTokenizerFast", "GoneTokenizerFast"])
def test_a_tokenizer_json_is_enough(no_plugins: None, tmp_plugin: Any, name: str, tmp_path: Path) -> None:
    code = (
        "class PreTrainedTokenizerFast:\n    @classmethod\n    def from_pretrained(cls, c, **k): return cls, c.name\n"
    )
    entries = {"xf.v1.symbol": {"PreTrainedTokenizerFast": "general_tokenizers:PreTrainedTokenizerFast"}}
    tmp_plugin("general-tokenizers", entries, {"general_tokenizers.py": code})
    folder = folder_with(tmp_path / "checkpoint", tokenizer_config={"tokenizer_class": name}, tokenizer={})
    found, loaded = auto.AutoTokenizer.from_pretrained(folder)
    assert found.__name__ == "PreTrainedTokenizerFast" and loaded == str(folder)


def test_without_the_general_tokenizer_the_error_says_what_to_install(no_plugins: None, tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path / "checkpoint", tokenizer_config={"tokenizer_class": "TokenizersBackend"}, tokenizer={}
    )
    with pytest.raises(PluginNotInstalledError, match="pip install xf-tokenizers"):
        auto.AutoTokenizer.from_pretrained(folder)


def test_auto_classes_need_no_torch() -> None:
    code = "import sys, xf.auto; xf.auto.AutoModelForCausalLM; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
