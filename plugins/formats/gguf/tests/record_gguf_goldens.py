"""Record goldens in the reference environment (it has the `gguf` package): python record_gguf_goldens.py

- goldens/dequantized.npz: random blocks of every quantized type, and what the gguf package makes of them;
- goldens/<architecture>.gguf: tiny models written as the public conversion does, with the weights of
  xf_testing.tiny.tiny_values, so that a test knows every value; the reference itself reads back what it supports.
"""

import importlib
import re
import sys
import tempfile
import types
from pathlib import Path

import gguf
import numpy as np
import torch

HERE = Path(__file__).parent
GOLDENS = HERE / "goldens"
TINY = HERE.parents[2] / "foundations" / "xf-testing" / "src" / "xf_testing"
PLAIN = ("F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64")


def tiny_values():
    package = types.ModuleType("xf_testing")
    package.__path__ = [str(TINY)]
    sys.modules["xf_testing"] = package
    return importlib.import_module("xf_testing.tiny").tiny_values


def record_blocks(count=6):
    generator, found = np.random.default_rng(0), {}
    for kind in gguf.GGMLQuantizationType:
        if kind.name in PLAIN or kind not in gguf.GGML_QUANT_SIZES:
            continue
        _, size = gguf.GGML_QUANT_SIZES[kind]
        raw = generator.integers(0, 256, size=(8 * count, size), dtype=np.uint8)
        try:
            values = gguf.quants.dequantize(raw, kind)
        except NotImplementedError:
            continue
        values = values.reshape(8 * count, -1).astype(np.float32)
        finite = np.isfinite(values).all(1).nonzero()[0][:count]  # the bits of a NaN are nobody's promise
        found |= {f"{kind.name}.raw": raw[finite], f"{kind.name}.values": values[finite]}
    np.savez_compressed(GOLDENS / "dequantized.npz", **found)


SIZES = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 32, "max_position_embeddings": 64,
}  # fmt: skip
MOE = {**SIZES, "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
GPT = {"n_embd": 16, "n_layer": 2, "n_head": 4, "vocab_size": 32, "n_positions": 64}
FALCON = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 32}
MODELS = {  # file name: (gguf architecture, class prefix, config)
    "llama": ("llama", "Llama", {**SIZES, "head_dim": 4}),
    "mixtral": ("llama", "Mixtral", {**SIZES, "num_local_experts": 3, "num_experts_per_tok": 2}),
    "qwen2": ("qwen2", "Qwen2", SIZES),
    "qwen3": ("qwen3", "Qwen3", {**SIZES, "head_dim": 8}),
    "qwen2moe": ("qwen2moe", "Qwen2Moe", {**MOE, "shared_expert_intermediate_size": 16}),
    "qwen3moe": ("qwen3moe", "Qwen3Moe", {**MOE, "head_dim": 4}),
    "gemma": ("gemma", "Gemma", {**SIZES, "head_dim": 8}),
    "gemma2": ("gemma2", "Gemma2", {**SIZES, "head_dim": 8, "sliding_window": 16}),
    "gemma3": ("gemma3", "Gemma3", {**SIZES, "head_dim": 8, "sliding_window": 16}),
    "phi3": ("phi3", "Phi3", {**SIZES, "pad_token_id": 0}),
    "gpt2": ("gpt2", "GPT2", GPT),
    "falcon": ("falcon", "Falcon", {**FALCON, "multi_query": True}),
    "falcon_grouped": ("falcon", "Falcon", {**FALCON, "num_kv_heads": 2, "new_decoder_architecture": True}),
    "bloom": ("bloom", "Bloom", {"hidden_size": 16, "n_layer": 2, "n_head": 4, "vocab_size": 32}),
    "stablelm": ("stablelm", "StableLm", {**SIZES, "partial_rotary_factor": 0.5, "use_qkv_bias": True}),
    "stablelm_normed": ("stablelm", "StableLm", {**SIZES, "partial_rotary_factor": 0.5, "qk_layernorm": True}),
    "starcoder2": ("starcoder2", "Starcoder2", SIZES),
    "olmo2": ("olmo2", "Olmo2", {**SIZES, "pad_token_id": 0}),
    "granite": ("granite", "Granite", SIZES),
    "smollm3": ("smollm3", "SmolLM3", {**SIZES, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}),
}


def permute(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def stored(family, name, w, config):
    """A weight as the public conversion stores it."""
    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    rest = w.shape[1:]
    if family in ("llama", "mixtral", "granite", "smollm3") and re.search(r"[qk]_proj", name):
        return permute(w, heads if "q_proj" in name else groups)
    if family.startswith("gemma") and name.endswith("norm.weight"):
        return w + 1
    if family == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
        return w.T
    if family == "bloom" and "query_key_value" in name:
        return w.reshape(heads, 3, -1, *rest).swapaxes(0, 1).reshape(w.shape)
    if family.startswith("falcon") and "query_key_value" in name:
        groups = config.num_kv_heads if config.new_decoder_architecture else 1
        x = w.reshape(groups, heads // groups + 2, -1, *rest)
        return np.concatenate([part.reshape(-1, *rest) for part in (x[:, :-2], x[:, -2], x[:, -1])])
    return w


def write_metadata(writer, family, architecture, config):
    get = lambda *names: next((v for n in names if (v := getattr(config, n, None)) is not None), None)  # noqa: E731
    writer.add_context_length(get("max_position_embeddings") or 64)
    writer.add_block_count(2)
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(get("intermediate_size") or 64)
    writer.add_head_count(config.num_attention_heads)
    if architecture == "falcon":
        writer.add_head_count_kv(config.num_kv_heads if config.new_decoder_architecture else 1)
    elif get("num_key_value_heads"):
        writer.add_head_count_kv(config.num_key_value_heads)
    if get("rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(get("layer_norm_epsilon", "layer_norm_eps", "norm_epsilon"))
    if get("rope_theta"):
        writer.add_rope_freq_base(config.rope_theta)
    if architecture in ("llama", "stablelm", "phi3"):
        writer.add_rope_dimension_count(int((get("head_dim") or 4) * (get("partial_rotary_factor") or 1)))
    if family in ("qwen3", "qwen3moe", "gemma", "gemma2", "gemma3"):
        writer.add_key_length(config.head_dim)
    if family in ("gemma2", "gemma3"):
        writer.add_sliding_window(config.sliding_window)
    if family == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if architecture == "stablelm":
        writer.add_parallel_residual(config.use_parallel_residual)
    if experts := get("num_experts", "num_local_experts"):
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if get("moe_intermediate_size"):
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if get("shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
    if family == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)


def write_vocabulary(writer):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(["<unk>", "<s>", "</s>", *map(chr, range(33, 61)), '!"'])
    writer.add_token_types([2, 3, 3, *[1] * 29])
    writer.add_token_merges(['! "'])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


EXPERT = re.compile(r"(.*)\.experts\.\d+\.(\w+)\.weight|(.*)\.self_attn\.([qk])_layernorm\.norms\.\d+\.weight")
STACKED = {
    "w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps", "gate_proj": "ffn_gate_exps",
    "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps", "q": "attn_q_norm", "k": "attn_k_norm",
}  # fmt: skip


def write_tensors(writer, family, architecture, model, config, values):
    number = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == architecture)
    names = gguf.get_tensor_name_map(number, 2)
    stacks = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        w = stored(family, name, values(name, tuple(tensor.shape)), config)
        if found := EXPERT.fullmatch(name):
            layer = re.search(r"layers\.(\d+)\.", name)[1]
            stacks.setdefault(f"blk.{layer}.{STACKED[found[2] or found[4]]}.weight", []).append(w)
            continue
        suffixes = (".weight", ".bias")
        target = names.get_name(name, try_suffixes=suffixes)
        target = target or names.get_name(name.removeprefix("transformer."), try_suffixes=suffixes)
        writer.add_tensor(target, np.ascontiguousarray(w))
    for target, parts in stacks.items():
        writer.add_tensor(target, np.stack(parts))


def record_models():
    library, values = importlib.import_module("transformers"), tiny_values()
    from transformers.modeling_utils import no_init_weights

    for family, (architecture, prefix, settings) in MODELS.items():
        config_class = getattr(library, f"{prefix}TextConfig", None) or getattr(library, f"{prefix}Config")
        model_class = getattr(library, f"{prefix}ForCausalLM", None) or getattr(library, f"{prefix}LMHeadModel")
        config = config_class(**settings)
        with no_init_weights():
            model = model_class(config)
        path = GOLDENS / f"{family}.gguf"
        writer = gguf.GGUFWriter(path, architecture)
        write_metadata(writer, family, architecture, config)
        write_vocabulary(writer)
        write_tensors(writer, family, architecture, model, config, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        print(family, path.stat().st_size, read_back(library, path, values))


def read_back(library, path, values):
    """What the reference makes of the file: "equal", or why it cannot read it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.gguf").write_bytes(path.read_bytes())
        try:
            model = library.AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf")
        except Exception as error:
            return f"not read by the reference: {str(error)[:80]!r}"
    tied = model.config.tie_word_embeddings
    wrong = [
        name
        for name, tensor in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
        and not np.allclose(tensor.numpy(), values(name, tuple(tensor.shape)), atol=1e-6)
    ]
    return f"DIFFERENT {wrong[:4]}" if wrong else "equal"


if __name__ == "__main__":
    torch.set_num_threads(1)
    GOLDENS.mkdir(exist_ok=True)
    record_blocks()
    if "--types" not in sys.argv:
        record_models()
