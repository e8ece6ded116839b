"""Through the front door: models, configurations and tokenizers from one file."""

import shutil
from pathlib import Path

import pytest
import torch

import xf
from xf_plugin_format_gguf.format import GGUFFormat
from xf_testing import CheckpointFormatConformance, fill_weights, no_network

GOLDENS = Path(__file__).parent / "goldens"


class TestContract(CheckpointFormatConformance):
    name = "gguf"

    def write_file(self, folder):
        return Path(shutil.copy(GOLDENS / "llama.gguf", folder / "model.gguf"))


@pytest.fixture
def folder(tmp_path):
    shutil.copy(GOLDENS / "llama.gguf", tmp_path / "model.gguf")
    return tmp_path


def expected():
    """The model whose weights the file holds."""
    config = xf.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, head_dim=4,
    )  # fmt: skip
    return fill_weights(xf.LlamaForCausalLM(config)).eval()


@pytest.mark.parametrize("named", [True, False])
def test_a_model(folder, named):
    options = {"gguf_file": "model.gguf"} if named else {}
    model = xf.AutoModelForCausalLM.from_pretrained(folder, **options)
    assert type(model) is xf.LlamaForCausalLM
    ids = torch.tensor([[1, 5, 9, 30, 2]])
    torch.testing.assert_close(model(ids).logits, expected()(ids).logits, atol=1e-5, rtol=1e-5)
    report = model.load_report
    assert not report.missing and not report.unexpected and not report.newly_initialised


def test_the_file_itself_may_be_named(folder):
    assert xf.AutoConfig.from_pretrained(folder / "model.gguf").model_type == "llama"


def test_a_configuration(folder):
    config = xf.AutoConfig.from_pretrained(folder, gguf_file="model.gguf")
    assert config.hidden_size == 16 and config.bos_token_id == 1 and not config.unknown_keys


def test_a_tokenizer(folder):
    tokenizer = xf.AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    assert tokenizer('!"#')["input_ids"] == [31, 5] and tokenizer.decode([31, 5]) == '!"#'
    assert tokenizer.bos_token == "<s>" and tokenizer.eos_token_id == 2


def test_saved_it_is_an_ordinary_checkpoint(folder, tmp_path):
    model = xf.AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf")
    model.save_pretrained(tmp_path / "saved")
    again = xf.AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))


def test_dtype(folder):
    model = xf.AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", torch_dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16


def test_training_does_not_change_the_file(folder):
    before = (folder / "model.gguf").read_bytes()
    model = xf.AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert (folder / "model.gguf").read_bytes() == before


def test_nothing_is_downloaded(folder):
    with no_network():
        xf.AutoModelForCausalLM.from_pretrained(folder)


def test_a_file_that_is_not_there_is_named(folder):
    with pytest.raises(ValueError, match="other.gguf"):
        xf.AutoModelForCausalLM.from_pretrained(folder, gguf_file="other.gguf")


def test_a_damaged_file_is_named(folder):
    (folder / "model.gguf").write_bytes((folder / "model.gguf").read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.gguf.*cut off"):
        xf.AutoModelForCausalLM.from_pretrained(folder)


def test_another_architecture_says_what_to_install(tmp_path, no_plugins):
    shutil.copy(GOLDENS / "falcon.gguf", tmp_path / "model.gguf")
    config = GGUFFormat().config(GGUFFormat().open(tmp_path / "model.gguf"))
    with pytest.raises(ValueError, match="falcon"):
        xf.AutoConfig.for_model(**config)
