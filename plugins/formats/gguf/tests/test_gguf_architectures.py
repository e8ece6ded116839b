"""Files as the public conversion writes them give back the checkpoint's own names, shapes and values.

goldens/<architecture>.gguf hold weights that follow from their names (xf_testing.tiny), so nothing else is stored. The
reference read those of its own architectures back as equal when they were recorded (record_gguf_goldens.py).
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from xf_plugin_format_gguf.architectures import ARCHITECTURES
from xf_plugin_format_gguf.format import GGUFFormat
from xf_plugin_format_gguf.reader import GGUFError
from xf_testing.tiny import tiny_values

sys.path.insert(0, str(Path(__file__).parent))
from gguf_writer import build, tensor_info

GOLDENS = Path(__file__).parent / "goldens"
FILES = sorted(p.stem for p in GOLDENS.glob("*.gguf"))
FORMAT = GGUFFormat()


@pytest.mark.parametrize("name", FILES)
def test_values_are_those_of_the_checkpoint(name):
    source = FORMAT.open(GOLDENS / f"{name}.gguf")
    names = source.names()
    assert not [n for n in names if n.startswith("blk.")], "a tensor without a name in the checkpoint"
    for tensor in names:
        expected = tiny_values(tensor, source.shape(tensor))
        found = source.get(tensor)
        assert found.shape == source.shape(tensor) and found.dtype == source.dtype(tensor)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6, err_msg=tensor)


EXPECTED = {
    "llama": {"model_type": "llama", "head_dim": 4, "rope_theta": 10000.0, "attention_bias": False},
    "mixtral": {"model_type": "mixtral", "num_local_experts": 3, "num_experts_per_tok": 2},
    "qwen2": {"model_type": "qwen2", "num_key_value_heads": 2},
    "qwen3": {"model_type": "qwen3", "head_dim": 8},
    "qwen2moe": {"model_type": "qwen2_moe", "num_experts": 3, "shared_expert_intermediate_size": 16},
    "qwen3moe": {"model_type": "qwen3_moe", "moe_intermediate_size": 16, "norm_topk_prob": True},
    "gemma": {"model_type": "gemma", "head_dim": 8, "tie_word_embeddings": True},
    "gemma2": {"model_type": "gemma2", "sliding_window": 16, "attn_logit_softcapping": 50.0},
    "gemma3": {"model_type": "gemma3_text", "sliding_window": 16, "rope_theta": 1e6},
    "phi3": {"model_type": "phi3", "partial_rotary_factor": 1.0},
    "gpt2": {"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_positions": 64, "tie_word_embeddings": True},
    "falcon": {"model_type": "falcon", "multi_query": True, "new_decoder_architecture": False},
    "falcon_grouped": {"num_kv_heads": 2, "multi_query": False, "new_decoder_architecture": True},
    "bloom": {"model_type": "bloom", "n_head": 4, "n_layer": 2, "layer_norm_epsilon": 1e-5},
    "stablelm": {"partial_rotary_factor": 0.5, "use_qkv_bias": True, "qk_layernorm": False},
    "stablelm_normed": {"qk_layernorm": True, "use_qkv_bias": False},
    "starcoder2": {"model_type": "starcoder2", "use_bias": True, "norm_epsilon": 1e-5},
    "olmo2": {"model_type": "olmo2", "tie_word_embeddings": False},
    "granite": {"embedding_multiplier": 1.0, "attention_multiplier": 1.0, "logits_scaling": 1.0},
    "smollm3": {"model_type": "smollm3", "rope_theta": 2000000.0},
}


def test_every_architecture_has_a_golden():
    known = {GGUFFormat().open(GOLDENS / f"{name}.gguf").metadata["general.architecture"] for name in FILES}
    assert set(EXPECTED) == set(FILES)
    assert set(ARCHITECTURES) - known == {"mistral"}, "mistral is llama under another name"


@pytest.mark.parametrize("name", FILES)
def test_configuration(name):
    config = FORMAT.config(FORMAT.open(GOLDENS / f"{name}.gguf"))
    for key, value in EXPECTED[name].items():
        found = config.get(key)
        assert found == pytest.approx(value) if isinstance(value, float) else found == value, key
    assert config["vocab_size"] == 32 and config["bos_token_id"] == 1 and config["eos_token_id"] == 2


def llama_file(tmp_path, extra=None, infos=(), data=b"", name="llama"):
    metadata = {
        "general.architecture": ("str", name),
        f"{name}.block_count": ("u32", 1),
        f"{name}.embedding_length": ("u32", 16),
        f"{name}.attention.head_count": ("u32", 1),
        f"{name}.context_length": ("u32", 131072),
        f"{name}.rope.freq_base": ("f32", 500000.0),
        **(extra or {}),
    }
    embedding = torch.zeros(4, 16)
    infos = [tensor_info("token_embd.weight", [16, 4]), *infos]
    path = tmp_path / "model.gguf"
    path.write_bytes(build(metadata, infos, embedding.numpy().tobytes() + data))
    return path


def llama3_factors(dim, theta=500000.0, factor=8.0):
    """Llama 3.1's scaling (low 1, high 4, original length 8192), written out once more."""
    wave = 2 * np.pi * theta ** (np.arange(0, dim, 2) / dim)
    smooth = np.clip((8192 / wave - 1) / 3, 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def test_llama3_rope_factors_become_a_scaling(tmp_path):
    infos, data = [tensor_info("rope_freqs.weight", [64], offset=256)], llama3_factors(128).tobytes()
    config = FORMAT.config(FORMAT.open(llama_file(tmp_path, infos=infos, data=data)))
    scaling = config["rope_scaling"]
    assert scaling["rope_type"] == "llama3" and scaling["factor"] == 8.0
    assert scaling["original_max_position_embeddings"] == 8192


def test_other_rope_factors_are_refused(tmp_path):
    factors = np.linspace(1, 8, 64, dtype=np.float32)
    infos = [tensor_info("rope_freqs.weight", [64], offset=256)]
    source = FORMAT.open(llama_file(tmp_path, infos=infos, data=factors.tobytes()))
    with pytest.raises(GGUFError, match="not those of a llama3 scaling"):
        FORMAT.config(source)


def test_rope_factors_are_no_weight_of_the_model(tmp_path):
    infos, data = [tensor_info("rope_freqs.weight", [64], offset=256)], llama3_factors(128).tobytes()
    assert FORMAT.open(llama_file(tmp_path, infos=infos, data=data)).names() == ["model.embed_tokens.weight"]


@pytest.mark.parametrize("kind", ["linear", "yarn"])
def test_rope_scaling_from_metadata(tmp_path, kind):
    extra = {
        "llama.rope.scaling.type": ("str", kind),
        "llama.rope.scaling.factor": ("f32", 4.0),
        "llama.rope.scaling.original_context_length": ("u32", 4096),
    }
    scaling = FORMAT.config(FORMAT.open(llama_file(tmp_path, extra)))["rope_scaling"]
    assert scaling == {"rope_type": kind, "factor": 4.0, "original_max_position_embeddings": 4096}


def test_an_unknown_rope_scaling_is_refused(tmp_path):
    source = FORMAT.open(llama_file(tmp_path, {"llama.rope.scaling.type": ("str", "magic")}))
    with pytest.raises(GGUFError, match="'magic' is not known"):
        FORMAT.config(source)


def test_an_unknown_architecture_names_the_known_ones(tmp_path):
    with pytest.raises(GGUFError, match="'quux', which this plugin does not know; it knows bloom"):
        FORMAT.open(llama_file(tmp_path, name="quux"))


def test_layers_of_different_sizes_are_refused(tmp_path):
    source = FORMAT.open(llama_file(tmp_path, {"llama.feed_forward_length": ("[u32]", [64, 128])}))
    with pytest.raises(GGUFError, match="differs from layer to layer"):
        FORMAT.config(source)


def test_a_tensor_that_the_architecture_lacks_keeps_its_name(tmp_path):
    source = FORMAT.open(
        llama_file(tmp_path, infos=[tensor_info("blk.0.mystery.weight", [8], offset=256)], data=b"\0" * 32)
    )
    assert "blk.0.mystery.weight" in source.names(), "so that the load report lists it as unexpected"


# ---- finding the file


class Folder:
    """As much of a Checkpoint as `detects` looks at."""

    def __init__(self, *names, file=None):
        self._names, self.file, self.name = list(names), file, "folder"

    def list(self):
        return self._names


def test_a_named_file_is_taken():
    assert FORMAT.detects(Folder("a.gguf", "model.safetensors"), {"gguf_file": "a.gguf"}) == "a.gguf"


def test_the_only_file_is_found():
    assert FORMAT.detects(Folder("a.gguf", "README.md"), {}) == "a.gguf"


def test_other_weights_come_first():
    assert FORMAT.detects(Folder("a.gguf", "model.safetensors"), {}) is None


def test_several_files_are_a_question():
    with pytest.raises(ValueError, match="a.gguf, b.gguf. Choose one"):
        FORMAT.detects(Folder("a.gguf", "b.gguf"), {})


def test_parts_are_one_model():
    names = [f"m-{i:05d}-of-00003.gguf" for i in (1, 2, 3)]
    assert FORMAT.detects(Folder(*names), {}) == names[0]


def test_nothing_to_find():
    assert FORMAT.detects(Folder("config.json"), {}) is None


def test_opening_needs_no_torch(tmp_path):
    import subprocess

    shutil.copy(GOLDENS / "llama.gguf", tmp_path / "model.gguf")
    code = (
        "import sys; from pathlib import Path\n"
        "from xf_plugin_format_gguf.format import GGUFFormat\n"
        f"f = GGUFFormat(); s = f.open(Path({str(tmp_path / 'model.gguf')!r})); f.config(s); f.tokenizer(s)\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules, 'torch or numpy was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
