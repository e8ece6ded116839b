"""Record what the reference writes for the toy family, and how its configs behave. Runs in the reference environment.

python record_checkpoint.py  ->  goldens/checkpoint_saved.json, goldens/checkpoint_toy/, goldens/config_reference.json
"""

import copy
import hashlib
import json
import random
import shutil
import tempfile
import warnings
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

GOLDENS = Path(__file__).parent / "goldens"
warnings.simplefilter("ignore")
transformers.logging.set_verbosity_error()


class ToyConfig(PretrainedConfig):
    model_type = "toy"

    def __init__(self, vocab_size=50, hidden_size=16, num_hidden_layers=2, initializer_range=0.02, **kwargs):
        self.vocab_size, self.hidden_size = vocab_size, hidden_size
        self.num_hidden_layers, self.initializer_range = num_hidden_layers, initializer_range
        super().__init__(**kwargs)


class ToyLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size)


class ToyModel(PreTrainedModel):
    config_class = ToyConfig
    base_model_prefix = "toy"

    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(ToyLayer(config) for _ in range(config.num_hidden_layers))
        self.scale = nn.Parameter(torch.ones(config.hidden_size))
        self.norm = nn.BatchNorm1d(4)
        frequencies = 1.0 / (10000 ** (torch.arange(0, config.hidden_size, 2).float() / config.hidden_size))
        self.register_buffer("inv_freq", frequencies, persistent=False)
        self.register_buffer("position_ids", torch.arange(20)[None])
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
        self.post_init()

    def get_input_embeddings(self):
        return self.embed


class ToyForCausalLM(PreTrainedModel):
    config_class = ToyConfig
    base_model_prefix = "toy"
    _tied_weights_keys = ["head.weight"]

    def __init__(self, config):
        super().__init__(config)
        self.toy = ToyModel(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def get_input_embeddings(self):
        return self.toy.embed

    def get_output_embeddings(self):
        return self.head


def fill(model):
    with torch.no_grad():
        for seed, (_, parameter) in enumerate(sorted(model.named_parameters())):
            numbers = (torch.arange(parameter.numel()) * 7 + seed * 13) % 101 - 50
            parameter.copy_((numbers / 64).reshape(parameter.shape).to(parameter.dtype))
    return model


def record_saved():
    layouts = {
        "single": {},
        "shards": {"max_shard_size": "2KB"},
        "variant": {"variant": "fp16"},
        "variant_shards": {"variant": "fp16", "max_shard_size": "2KB"},
        "bin": {"safe_serialization": False},
        "bin_shards": {"safe_serialization": False, "max_shard_size": "2KB"},
    }
    found = {}
    for name, arguments in layouts.items():
        with tempfile.TemporaryDirectory() as folder:
            fill(ToyForCausalLM(ToyConfig())).save_pretrained(folder, **arguments)
            found[name] = {}
            for path in sorted(Path(folder).iterdir()):
                if path.suffix == ".json":
                    found[name][path.name] = path.read_text()
                elif path.suffix == ".bin":
                    found[name][path.name] = sorted(torch.load(path))
                else:
                    found[name][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            if name in ("single", "bin"):
                shutil.copytree(folder, GOLDENS / "checkpoint_toy" / name, dirs_exist_ok=True)
    (GOLDENS / "checkpoint_saved.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


class Plain(PretrainedConfig):
    model_type = "plain"
    attribute_map = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer"}

    def __init__(self, vocab_size=10, n_embd=8, n_layer=2, act="gelu", scale=None, pad_token_id=0, **kwargs):
        self.vocab_size, self.n_embd, self.n_layer = vocab_size, n_embd, n_layer
        self.act, self.scale = act, scale
        super().__init__(pad_token_id=pad_token_id, **kwargs)


class Part(PretrainedConfig):
    model_type = "part"
    base_config_key = "text_config"

    def __init__(self, a=1, b=None, bos_token_id=5, is_decoder=True, **kwargs):
        self.a, self.b = a, b
        super().__init__(bos_token_id=bos_token_id, is_decoder=is_decoder, **kwargs)


class Top(PretrainedConfig):
    model_type = "top"
    sub_configs = {"text_config": Part, "vision_config": Plain}

    def __init__(self, text_config=None, vision_config=None, d=None, tie_word_embeddings=False, **kwargs):
        self.text_config = Part(**text_config) if isinstance(text_config, dict) else text_config or Part()
        self.vision_config = Plain(**vision_config) if isinstance(vision_config, dict) else vision_config or Plain()
        self.d = d if d is not None else {"x": 1, "y": {"z": 2}}
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)


class Deep(PretrainedConfig):
    model_type = "deep"
    has_no_defaults_at_init = True
    sub_configs = {"decoder": Top}

    def __init__(self, decoder=None, **kwargs):
        super().__init__(**kwargs)
        if decoder is None:
            raise ValueError("decoder")
        self.decoder = Top(**decoder) if isinstance(decoder, dict) else decoder
        self.is_encoder_decoder = True


CHOICES = {
    "vocab_size": [3, 10], "n_embd": [8, 4], "hidden_size": [5], "act": ["relu", "gelu"], "scale": [1.5, 2, None],
    "pad_token_id": [0, 1, None, -1], "bos_token_id": [5, 3, None], "eos_token_id": [2, [1, 2]], "num_labels": [1, 3],
    "id2label": [{"0": "a", "1": "b"}, {"0": "x"}, {str(i): f"l{i}" for i in range(12)}], "a": [1, 2],
    "label2id": [{"a": 0, "b": 1}], "torch_dtype": ["float16", "bfloat16", None], "tie_word_embeddings": [True, False],
    "is_decoder": [True, False], "is_encoder_decoder": [True, False], "max_length": [20, 30], "do_sample": [True],
    "temperature": [0.5, 1.0], "foo": [1, "x", None, {"a": [1, 2]}, [1, 2]], "bar": ["\u00e9"], "prefix": ["p"],
    "problem_type": ["regression", None], "architectures": [["X"], None], "pruned_heads": [{"1": [0]}, {}],
    "return_dict": [False, True], "output_attentions": [True], "output_hidden_states": [True], "torchscript": [True],
    "quantization_config": [{"quant_method": "q", "bits": 4}], "b": [None, {"q": 1}], "_name_or_path": ["abc"],
    "d": [{"x": 1, "y": {"z": 2}}, {"x": 2}], "name_or_path": ["q"], "task_specific_params": [{"t": {"k": 1}}],
    "transformers_version": ["4.1"], "tokenizer_class": ["T"], "chunk_size_feed_forward": [3], "top_k": [50, 5],
    "rope_scaling": [{"type": "linear", "factor": 2.0}], "early_stopping": [True], "use_cache": [False, True],
}  # fmt: skip


def outcome(function):
    try:
        return function()
    except Exception as error:
        return f"raises {type(error).__name__}"


def record_configs(count=200):
    chance = random.Random(0)
    classes = {c.__name__: c for c in (PretrainedConfig, Plain, Part, Top, Deep)}

    def some():
        return {key: chance.choice(CHOICES[key]) for key in chance.sample(sorted(CHOICES), chance.randint(0, 8))}

    cases = []
    for _ in range(count):
        name = chance.choice(["PretrainedConfig", "Plain", "Part", "Top", "Top", "Deep"])
        data = some()
        if name == "Top":
            data |= {key: some() for key in ("text_config", "vision_config") if chance.random() < 0.7}
        if name == "Deep":
            data["decoder"] = {**some(), "text_config": some(), "vision_config": some()}
        arguments = some() if chance.random() < 0.5 else {}
        given = copy.deepcopy((data, arguments))

        def behaviour(name=name, data=data, arguments=arguments):
            config, unused = classes[name].from_dict(data, return_unused_kwargs=True, **arguments)
            everything = {k: v for k, v in config.to_dict().items() if k != "transformers_version"}
            return {
                "json": json.loads(config.to_json_string()),
                "text_sha": hashlib.sha256(config.to_json_string().encode()).hexdigest(),
                "all_sha": hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest(),
                "unused": sorted(k for k in unused if k != "transformers_version"),
                "num_labels": config.num_labels,
                "text": outcome(lambda: config.get_text_config().model_type),
                "decoder": outcome(lambda: config.get_text_config(decoder=True).model_type),
                "use_return_dict": config.use_return_dict,
            }

        cases.append({"class": name, "data": given[0], "arguments": given[1], "result": outcome(behaviour)})
    (GOLDENS / "config_reference.json").write_text(json.dumps(cases, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    record_saved()
    record_configs()
