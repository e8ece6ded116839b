"""What every model must do, with all its heads, on a tiny random checkpoint.

Shapes: B batch, T tokens. Comparison with the reference is apart from this: see `xf_testing.reference`.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from .base import Conformance
from .network import no_network
from .reference import assert_same_outputs, flatten_outputs
from .tiny import fill_weights, shrink, tiny_floats, tiny_ids

B, T = 2, 7
_CLASS_HEADS = (
    "sequence_classification", "multiple_choice", "next_sentence_prediction", "image_classification",
    "audio_classification",
)  # fmt: skip
_TOKEN_HEADS = ("causal_lm", "masked_lm", "seq2seq_lm", "speech_seq2seq", "pretraining")


class ModelConformance(Conformance):
    """Subclass and set `name` (the model_type); every check runs for every head that is registered for it.

    Hooks: `tiny_config` (default: well-known sizes made small), `make_inputs`, `make_labels`, `hidden_state_count`,
    `left_position_ids`.
    Flags: has_attention_weights, has_hidden_states, has_padding (a padding mask makes padding invisible),
    can_checkpoint_gradients, has_token_embeddings, can_train. heads: None for all that are registered.
    """

    contract: ClassVar[str] = "config"
    name: ClassVar[str] = ""
    heads: ClassVar[tuple[str, ...] | None] = None
    settings: ClassVar[dict[str, Any]] = {}
    has_attention_weights: ClassVar[bool] = True
    has_hidden_states: ClassVar[bool] = True
    has_padding: ClassVar[bool] = True
    can_checkpoint_gradients: ClassVar[bool] = True
    has_token_embeddings: ClassVar[bool] = True
    can_train: ClassVar[bool] = True
    atol: ClassVar[float] = 1e-5

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One run for each head."""
        if "head" in metafunc.fixturenames:
            metafunc.parametrize("head", self.all_heads())

    # -- hooks

    def all_heads(self) -> tuple[str, ...]:
        from xf.plugins import groups, registry

        if self.heads is not None:
            return self.heads
        names = (group.removeprefix("model.") for group in groups() if group.startswith("model."))
        return tuple(sorted(n for n in names if registry(f"model.{n}").find(self.name) is not None))

    def config_class(self) -> Any:
        from xf.plugins import registry

        return registry("config").get(self.name)

    def tiny_config(self, head: str = "base") -> Any:
        """A config whose model is built in milliseconds. An encoder's causal head needs is_decoder to be causal."""
        settings = dict(self.settings)
        if head == "causal_lm" and "masked_lm" in self.all_heads():
            settings.setdefault("is_decoder", True)
        return shrink(self.config_class(), **settings)

    def left_position_ids(self, mask: Tensor) -> Tensor:
        """The positions that a causal head gives a text by itself, for texts padded on the left; mask (B, T)."""
        return (mask.cumsum(1) - 1).clamp(min=0)

    def model_class(self, head: str) -> Any:
        from xf.plugins import registry

        return registry(f"model.{head}").get(self.name)

    def make_inputs(self, model: Any, head: str, batch: int = B) -> dict[str, Tensor]:
        """Inputs for `batch` rows, by the model's main input."""
        config, inputs = model.config, {}
        main = model.main_input_name
        if main == "input_ids":
            vocab = config.get_text_config().vocab_size
            inputs = {
                "input_ids": tiny_ids((batch, T), vocab),
                "attention_mask": torch.ones(batch, T, dtype=torch.long),
            }
            if head == "multiple_choice":
                inputs = {"input_ids": tiny_ids((batch, 2, T), vocab)}
        elif main == "pixel_values":
            vision = getattr(config, "vision_config", config)
            size = vision.image_size if isinstance(vision.image_size, int) else vision.image_size[0]
            inputs = {main: tiny_floats((batch, getattr(vision, "num_channels", 3), size, size))}
        elif main == "input_features":
            inputs = {main: tiny_floats((batch, config.num_mel_bins, 2 * config.max_source_positions))}
        elif main == "input_values":
            inputs = {main: tiny_floats((batch, 2000))}
        else:
            raise NotImplementedError(f"{type(self).__name__} must define make_inputs: main input {main!r}")
        if config.is_encoder_decoder and "decoder_input_ids" in _accepted(model):
            inputs["decoder_input_ids"] = tiny_ids((batch, T - 2), config.get_text_config(decoder=True).vocab_size)
        return inputs

    def make_labels(self, model: Any, head: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Labels that make the model return a loss; {} for heads without."""
        batch = next(iter(inputs.values())).shape[0]
        ids = inputs.get("decoder_input_ids", inputs.get("input_ids"))
        few = torch.arange(batch) % 2
        if head in _TOKEN_HEADS and ids is not None:
            both = "next_sentence_label" in _accepted(model)
            return {"labels": ids.clone()} | ({"next_sentence_label": few} if both else {})
        if head in _CLASS_HEADS:
            return {"labels": few}
        if head == "token_classification" and ids is not None:
            return {"labels": ids % model.config.num_labels}
        if head == "question_answering":
            return {"start_positions": few, "end_positions": few + 2}
        return {}

    def hidden_state_count(self, model: Any) -> int:
        """How many hidden states output_hidden_states=True gives."""
        return int(model.config.get_text_config().num_hidden_layers) + 1

    # -- helpers

    def make_model(self, head: str) -> Any:
        model = self.model_class(head)(self.tiny_config(head))
        fill_weights(model)
        model.tie_weights()
        return model.eval()

    def run(self, model: Any, inputs: Mapping[str, Any], **call: Any) -> dict[str, Tensor]:
        with torch.no_grad():
            return flatten_outputs(model(**inputs, **call))

    def same(self, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], atol: float | None = None) -> None:
        assert set(ours) == set(theirs)
        for name, expected in theirs.items():
            tolerance = self.atol if atol is None else atol
            assert_same_outputs({name: ours[name]}, {name: expected}, atol=tolerance, rtol=tolerance)

    def saved(self, head: str, folder: Path) -> tuple[Any, Path]:
        model = self.make_model(head)
        model.save_pretrained(folder)
        return model, folder

    # -- configuration

    def test_there_are_heads(self) -> None:
        assert self.all_heads(), f"no model is registered for {self.name}"

    def test_the_config_survives_saving(self, tmp_path: Path) -> None:
        config = self.tiny_config()
        config.save_pretrained(tmp_path)
        again = self.config_class().from_pretrained(tmp_path)
        assert _plain(again.to_dict()) == _plain(config.to_dict())
        assert json.loads((tmp_path / "config.json").read_text())["model_type"] == self.name

    def test_an_unknown_config_key_is_kept_and_reported(self) -> None:
        config = self.config_class()(no_such_setting=3)
        assert config.no_such_setting == 3 and "no_such_setting" in config.unknown_keys
        assert config.to_dict()["no_such_setting"] == 3

    # -- forward

    def test_built_twice_with_one_seed_it_is_the_same(self, head: str) -> None:
        states = []
        for _ in range(2):
            torch.manual_seed(0)
            states.append(self.model_class(head)(self.tiny_config(head)).state_dict())
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])

    def test_forward(self, head: str) -> None:
        model = self.make_model(head)
        inputs = self.make_inputs(model, head)
        before = {name: value.clone() for name, value in inputs.items()}
        first, second = self.run(model, inputs), self.run(model, inputs)
        assert first and all(value.isfinite().all() for value in first.values() if value.is_floating_point())
        assert all(torch.equal(first[name], second[name]) for name in first), "the same input, another output"
        assert all(torch.equal(inputs[name], before[name]) for name in inputs), "an input was changed"

    def test_tuples_hold_the_same(self, head: str) -> None:
        model = self.make_model(head)
        inputs = self.make_inputs(model, head)
        with torch.no_grad():
            named, plain = model(**inputs), model(**inputs, return_dict=False)
        assert isinstance(plain, tuple)
        assert torch.equal(plain[0], named[0])

    def test_hidden_states_and_attentions(self, head: str) -> None:
        model = self.make_model(head)
        if not self.has_hidden_states:
            self.not_claimed("has_hidden_states")
        with torch.no_grad():
            output = model(**self.make_inputs(model, head), output_hidden_states=True)
        states = self._first(output, "hidden_states", "encoder_hidden_states", "vision_hidden_states")
        assert states is not None and len(states) == self.hidden_state_count(model)
        if self.has_attention_weights:
            model.set_attn_implementation("eager")
            with torch.no_grad():
                output = model(**self.make_inputs(model, head), output_attentions=True)
            weights = self._first(output, "attentions", "encoder_attentions", "vision_attentions")
            assert weights and all(w is not None and w.ndim >= 3 for w in weights)  # some join batch and heads
            sums = weights[0].sum(-1)
            torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-4, rtol=0)

    @staticmethod
    def _first(output: Any, *names: str) -> Any:
        return next((output[name] for name in names if output.get(name) is not None), None)

    def test_attention_backends_agree(self, head: str) -> None:
        model = self.make_model(head)
        inputs, results = self.make_inputs(model, head), {}
        for backend in ("eager", "sdpa"):
            try:
                model.set_attn_implementation(backend)
            except ValueError:
                continue  # it says what it lacks; that is checked where backends are
            results[backend] = self.run(model, inputs)
        assert "eager" in results
        if "sdpa" in results:
            self.same(results["sdpa"], results["eager"])

    def test_a_row_alone_gives_the_same(self, head: str) -> None:
        model = self.make_model(head)
        inputs = self.make_inputs(model, head)
        both = self.run(model, inputs)
        alone = self.run(model, {name: value[:1] for name, value in inputs.items()})
        for name, value in alone.items():
            if value.ndim and both[name].shape[0] == B and value.shape[0] == 1:
                torch.testing.assert_close(value, both[name][:1], atol=self.atol, rtol=self.atol)

    @pytest.mark.parametrize("side", ["right", "left"])
    def test_padding_is_invisible(self, head: str, side: str) -> None:
        model = self.make_model(head)
        inputs = self.make_inputs(model, head)
        ids = inputs.get("input_ids")
        if not self.has_padding or ids is None or ids.ndim != 2 or model.config.is_encoder_decoder:
            self.not_claimed("has_padding")
        if side == "left" and head != "causal_lm":
            self.not_claimed("padding on the left: positions count from the left end")
        pad = model.config.pad_token_id or 0
        extra = torch.full((B, 3), pad)
        parts = [ids, extra] if side == "right" else [extra, ids]
        mask_parts = [torch.ones_like(ids), torch.zeros_like(extra)]
        mask = torch.cat(mask_parts if side == "right" else mask_parts[::-1], 1)
        call = {"input_ids": torch.cat(parts, 1), "attention_mask": mask}
        if side == "left":
            call["position_ids"] = self.left_position_ids(mask)
        padded, plain = self.run(model, call), self.run(model, inputs)
        real = slice(0, T) if side == "right" else slice(3, T + 3)
        compared = 0
        for name, value in plain.items():
            if value.ndim >= 2 and value.shape[:2] == (B, T):
                torch.testing.assert_close(padded[name][:, real], value, atol=self.atol, rtol=self.atol)
                compared += 1
        assert compared or head not in _TOKEN_HEADS, "nothing was compared"

    # -- loading and saving

    def test_saved_and_loaded_it_is_the_same(self, head: str, tmp_path: Path) -> None:
        model, folder = self.saved(head, tmp_path)
        again, info = self.model_class(head).from_pretrained(folder, output_loading_info=True)
        ours, theirs = again.state_dict(), model.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), "a tensor changed"
        assert not any(info.get(k) for k in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        inputs = self.make_inputs(model, head)
        # the tensors are equal bit for bit; where a file maps them to odd addresses, sums may round in another order
        self.same(self.run(again, inputs), self.run(model, inputs), atol=1e-6)

    def test_auto_classes_find_it(self, head: str, tmp_path: Path) -> None:
        from xf import AutoConfig

        _, folder = self.saved(head, tmp_path)
        assert type(AutoConfig.from_pretrained(folder)) is self.config_class()

    def test_saving_twice_gives_the_same_file(self, head: str, tmp_path: Path) -> None:
        model, _ = self.saved(head, tmp_path / "one")
        self.model_class(head).from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
        one, two = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("one", "two"))
        assert one == two

    def test_dtype(self, head: str, tmp_path: Path) -> None:
        _, folder = self.saved(head, tmp_path)
        model = self.model_class(head).from_pretrained(folder, torch_dtype=torch.bfloat16)
        assert model.dtype == torch.bfloat16
        inputs = self.make_inputs(model, head)
        inputs = {n: v.bfloat16() if v.is_floating_point() else v for n, v in inputs.items()}
        assert all(v.isfinite().all() for v in self.run(model, inputs).values() if v.is_floating_point())

    def test_a_missing_tensor_is_an_error(self, head: str, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        _, folder = self.saved(head, tmp_path)
        tensors = load_file(folder / "model.safetensors")
        shared = [n for n in sorted(tensors) if n.endswith(".weight") and ".0." in n] or sorted(tensors)
        del tensors[shared[0]]
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError) as caught:
            self.model_class(head).from_pretrained(folder)
        assert shared[0] in str(caught.value)

    def test_a_tensor_too_many_is_reported(self, head: str, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        _, folder = self.saved(head, tmp_path)
        tensors = load_file(folder / "model.safetensors") | {"no.such.tensor": torch.ones(2)}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        assert "no.such.tensor" in self.model_class(head).from_pretrained(folder).load_report.unexpected

    def test_a_head_starts_from_the_base_model(self, head: str, tmp_path: Path) -> None:
        if head == "base" or "base" not in self.all_heads():
            self.not_claimed("a base model")
        _, folder = self.saved("base", tmp_path)
        model, info = self.model_class(head).from_pretrained(folder, output_loading_info=True)
        prefix = model.base_model_prefix + "."
        state = model.state_dict()
        assert not [n for n in info["missing_keys"] if n.startswith(prefix) and n in state and "pooler" not in n]

    def test_no_socket_is_opened(self, head: str, tmp_path: Path) -> None:
        _, folder = self.saved(head, tmp_path)
        with no_network():
            model = self.model_class(head).from_pretrained(folder)
            self.run(model, self.make_inputs(model, head))

    # -- training

    def _train_ready(self, head: str) -> tuple[Any, dict[str, Any]]:
        model = self.make_model(head)
        inputs = self.make_inputs(model, head)
        labels = self.make_labels(model, head, inputs)
        if not self.can_train or not labels:
            self.not_claimed(f"a loss for {head}")
        return model, {**inputs, **labels}

    def test_training_lowers_the_loss(self, head: str) -> None:
        model, inputs = self._train_ready(head)
        _without_dropout(model).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        losses = []
        for _ in range(8):
            loss = model(**inputs).loss
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert losses[-1] < losses[0]

    def test_gradient_checkpointing_gives_the_same(self, head: str) -> None:
        if not self.can_checkpoint_gradients:
            with pytest.raises(ValueError):
                self.make_model(head).gradient_checkpointing_enable()
            return
        model, inputs = self._train_ready(head)
        _without_dropout(model).train()
        other = copy.deepcopy(model)
        other.gradient_checkpointing_enable()
        for each in (model, other):
            each(**inputs).loss.backward()
        for (name, p), (_, q) in zip(model.named_parameters(), other.named_parameters(), strict=True):
            assert (p.grad is None) == (q.grad is None), name
            if p.grad is not None:
                torch.testing.assert_close(q.grad, p.grad, atol=self.atol, rtol=self.atol)

    # -- embeddings and generation

    def test_token_embeddings_resize_and_stay_tied(self, head: str, tmp_path: Path) -> None:
        model = self.make_model(head)
        if not self.has_token_embeddings:
            self.not_claimed("has_token_embeddings")
        if not isinstance(model.get_input_embeddings(), nn.Embedding):
            self.not_claimed(f"token embeddings of {head}")
        old = model.get_input_embeddings().weight.detach().clone()
        tied = (out := model.get_output_embeddings()) is not None and out.weight is model.get_input_embeddings().weight
        model.resize_token_embeddings(len(old) + 5)
        new = model.get_input_embeddings()
        assert new.num_embeddings == len(old) + 5 == model.config.get_text_config().vocab_size
        assert torch.equal(new.weight[: len(old)], old)
        if out is not None:
            out = model.get_output_embeddings()
            assert out.weight.shape[0] == len(old) + 5 and (out.weight is new.weight) == tied
        model.save_pretrained(tmp_path)
        again = self.model_class(head).from_pretrained(tmp_path)
        assert torch.equal(again.get_input_embeddings().weight, new.weight)

    def test_greedy_with_and_without_a_cache(self, head: str) -> None:
        model = self.make_model(head)
        if not model.can_generate():
            self.not_claimed("generate")
        inputs = self.make_inputs(model, head)
        inputs.pop("decoder_input_ids", None)
        settings: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
        with_cache, without = (model.generate(**inputs, use_cache=u, **settings) for u in (True, False))
        assert torch.equal(with_cache, without)


def _accepted(model: nn.Module) -> set[str]:
    """The arguments that the model's forward names."""
    return set(inspect.signature(model.forward).parameters)


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps({k: v for k, v in config.items() if k != "_name_or_path"}, default=str))


def _without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout", "activation_dropout", "layerdrop"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model
