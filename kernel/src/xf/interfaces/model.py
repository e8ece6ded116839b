"""PreTrainedModel: the contract of every model (spec: main_classes/model.md).

A model class states, as data: its config class, the prefix of its base model, which weights are tied, which checkpoint
names differ (`key_rules`), what may be missing, what attention must be able to do. Modules carry the checkpoint's
names.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from .. import logging
from ..hub import PushToHubMixin
from ..plugins.hooks import hooks
from .attention import AttentionChoice, AttentionModule, AttentionNeeds, attention_backend, choose_attention
from .config import PretrainedConfig
from .model_utils import GradientCheckpointingLayer, ModuleUtilsMixin, model_forward

if TYPE_CHECKING:
    from ..checkpoint.report import LoadReport
    from .quantizer import Quantizer

__all__ = ["GradientCheckpointingLayer", "ModuleUtilsMixin", "PreTrainedModel", "model_forward", "no_init_weights"]

logger = logging.get_logger(__name__)
Self = TypeVar("Self", bound="PreTrainedModel")
_init_weights_enabled: ContextVar[bool] = ContextVar("init_weights_enabled", default=True)  # of this thread


@contextlib.contextmanager
def no_init_weights() -> Iterator[None]:
    """Build models without random weights: for loaders that place every parameter afterwards."""
    token = _init_weights_enabled.set(False)
    try:
        yield
    finally:
        _init_weights_enabled.reset(token)


class PreTrainedModel(nn.Module, ModuleUtilsMixin, PushToHubMixin):
    """Base of all models: loading, saving, embeddings, tying, attention choice, gradient checkpointing.

    A subclass calls `super().__init__(config)` first and `self.post_init()` last in its __init__.
    """

    config_class: ClassVar[type[PretrainedConfig]] = PretrainedConfig
    base_model_prefix: ClassVar[str] = ""  # attribute that holds the base model inside a model with a head
    main_input_name: ClassVar[str] = "input_ids"
    # {tied name: name of the weight it shares}: with config.tie_word_embeddings, and always
    tied_weights: ClassVar[Mapping[str, str]] = {}
    always_tied_weights: ClassVar[Mapping[str, str]] = {}
    key_rules: ClassVar[tuple[Any, ...]] = ()  # xf.checkpoint.KeyRule: file names <-> module names, both ways
    allow_missing: ClassVar[tuple[str, ...]] = ()  # patterns with *: may be absent from a checkpoint
    ignore_unexpected: ClassVar[tuple[str, ...]] = ()  # patterns with *: known leftovers in published files
    keep_in_fp32: ClassVar[tuple[str, ...]] = ()  # module name parts that stay float32 under half precision
    attention_needs: ClassVar[AttentionNeeds] = AttentionNeeds()
    supports_gradient_checkpointing: ClassVar[bool] = True

    config: Any
    attention_choice: AttentionChoice
    load_report: LoadReport | None = None
    quantizer: Quantizer | None = None

    def __init__(self, config: PretrainedConfig, *inputs: Any, **kwargs: Any) -> None:
        super().__init__()
        if not isinstance(config, PretrainedConfig):
            raise ValueError(
                f"{type(self).__name__}(config) takes a PretrainedConfig, not {type(config).__name__}. "
                f"To load a checkpoint use {type(self).__name__}.from_pretrained(...)."
            )
        self.config = config
        self.name_or_path = config.name_or_path
        self.warnings_issued: dict[str, bool] = {}
        self._choose_attention(config)

    # ---- building -------------------------------------------------------------------------------------------------

    @classmethod
    def needs_of(cls, config: Any) -> AttentionNeeds:
        """What attention must do for a model of `config`; `attention_needs` unless a family decides by its config."""
        return cls.attention_needs

    def _choose_attention(self, config: Any) -> None:
        requested = config._attn_implementation
        if requested is not None and not getattr(config, "_attn_explicit", True):
            requested = None  # an earlier model's default choice, not the user's
        self.attention_choice = choose_attention(requested, self.needs_of(config), type(self).__name__)
        # not through the documented setter: that one speaks for the sub-configs too
        config._attn_implementation_internal = self.attention_choice.name
        config._attn_explicit = self.attention_choice.explicit
        hooks().xf_dispatch_chosen(model=self, what="attention", name=self.attention_choice.name)

    def post_init(self) -> None:
        """Last step of __init__: random weights (unless a loader fills them) and ties."""
        if _init_weights_enabled.get():
            self.init_weights()
        else:
            self.tie_weights()

    def init_weights(self) -> None:
        """Give every module that has none its random start, as `_init_weights` says, then tie."""
        for module in reversed(list(self.modules())):  # parts before the whole, which may set values in them
            if not module.__dict__.get("_is_initialized", False):
                self._init_weights(module)
                module._is_initialized = True  # type: ignore[assignment]
        self.tie_weights()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Random start of one module; families override. Weights are normal(0, initializer_range), biases 0."""
        std = getattr(self.config, "initializer_range", 0.02)  # 0.02: Radford et al. 2018, section 4.1
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d)):
            module.weight.normal_(0.0, std)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, std)
            if module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
        elif isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            if module.weight is not None:
                module.weight.fill_(1.0)
            if module.bias is not None:
                module.bias.zero_()
        elif hasattr(module, "reset_parameters") and not isinstance(module, PreTrainedModel):
            reset: Any = module.reset_parameters
            reset()

    @torch.no_grad()
    def initialize_missing(self, names: set[str]) -> None:
        """Random start for the parameters in `names` alone (a new head on a loaded model); others keep their values."""
        for module_name, module in self.named_modules():
            own = {f"{module_name}.{n}" if module_name else n: p for n, p in module.named_parameters(recurse=False)}
            if not names & own.keys():
                continue
            kept = {name: p.detach().clone() for name, p in own.items() if name not in names}
            self._owner_of(module_name)._init_weights(module)
            for name, value in kept.items():
                own[name].copy_(value)

    def _owner_of(self, module_name: str) -> PreTrainedModel:
        """The innermost model that contains the module: its `_init_weights` is the one that knows."""
        owner: PreTrainedModel = self
        current: nn.Module = self
        for part in module_name.split(".") if module_name else ():
            current = getattr(current, part)
            if isinstance(current, PreTrainedModel):
                owner = current
        return owner

    # ---- embeddings and ties --------------------------------------------------------------------------------------

    @property
    def base_model(self) -> nn.Module:
        """The model without its head; itself if it has none."""
        inner = getattr(self, self.base_model_prefix, self) if self.base_model_prefix else self
        return inner if isinstance(inner, nn.Module) else self

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding.

        Raises: NotImplementedError where the model has none.
        """
        base = self.base_model
        for name in ("embed_tokens", "shared", "wte", "word_embeddings"):
            found = getattr(base, name, None)
            if isinstance(found, nn.Module):
                return found
        if isinstance(base, PreTrainedModel) and base is not self:
            return base.get_input_embeddings()
        raise NotImplementedError(f"{type(self).__name__} has no token embeddings.")

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        base = self.base_model
        for name in ("embed_tokens", "shared", "wte", "word_embeddings"):
            if isinstance(getattr(base, name, None), nn.Module):
                setattr(base, name, value)
                return
        if isinstance(base, PreTrainedModel) and base is not self:
            return base.set_input_embeddings(value)
        raise NotImplementedError(f"{type(self).__name__} has no token embeddings.")

    def get_output_embeddings(self) -> nn.Module | None:
        """The layer that makes vocabulary logits, None where there is none."""
        return getattr(self, "lm_head", None)

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that makes vocabulary logits."""
        if not hasattr(self, "lm_head"):
            raise NotImplementedError(f"{type(self).__name__} has no output embeddings.")
        self.lm_head = new_embeddings

    def active_ties(self) -> dict[str, str]:
        """{tied name: name of the weight it shares} of this model and the models inside it, full names."""
        ties: dict[str, str] = {}
        for prefix, module in self.named_modules():
            if isinstance(module, PreTrainedModel):
                dot = prefix + "." if prefix else ""
                own = dict(module.always_tied_weights)
                if getattr(module.config.get_text_config(decoder=True), "tie_word_embeddings", True):
                    own |= module.tied_weights
                ties |= {dot + target: dot + source for target, source in own.items()}
        return ties

    def tie_weights(self) -> None:
        """Make tied names share one parameter or buffer."""
        ties = self.active_ties()
        for target, source in ties.items():
            owner = self.get_submodule(target.rpartition(".")[0])
            setattr(owner, target.rpartition(".")[2], self.get_parameter_or_buffer(source))

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Module:
        """Grow or shrink the vocabulary of input and output embeddings; returns the input embedding.

        New rows start at the mean of the old ones (mean_resizing), else at random. pad_to_multiple_of rounds up.
        Raises: ValueError for sizes that are not positive integers.
        """
        embedding = self.get_input_embeddings()
        assert isinstance(embedding, nn.Embedding), "token embeddings are nn.Embedding"
        if new_num_tokens is None and pad_to_multiple_of is None:
            return embedding
        size = embedding.num_embeddings if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of is not None:
            if not isinstance(pad_to_multiple_of, int) or pad_to_multiple_of < 1:
                raise ValueError(f"pad_to_multiple_of must be a positive integer, not {pad_to_multiple_of!r}.")
            size = -(-size // pad_to_multiple_of) * pad_to_multiple_of
        if size < 1:
            raise ValueError(f"A vocabulary needs at least one token; {size} was asked for.")
        resized = nn.Embedding(
            size,
            embedding.embedding_dim,
            padding_idx=embedding.padding_idx if (embedding.padding_idx or 0) < size else None,
            dtype=embedding.weight.dtype,
            device=embedding.weight.device,
        )
        resized.weight = self._resized(embedding.weight, size, mean_resizing)
        head = self.get_output_embeddings()
        tied = head is not None and head.weight is embedding.weight
        self.set_input_embeddings(resized.train(embedding.training))
        if isinstance(head, nn.Linear):
            head.out_features = size
            head.weight = resized.weight if tied else self._resized(head.weight, size, mean_resizing)
            if head.bias is not None:
                head.bias = self._resized(head.bias, size, mean_resizing)
        self._resize_extra(size, mean_resizing)
        for config in {id(c): c for c in (self.config, self.config.get_text_config())}.values():
            if hasattr(config, "vocab_size"):
                config.vocab_size = size
        if hasattr(self, "vocab_size"):
            self.vocab_size = size
        self.tie_weights()
        return self.get_input_embeddings()

    def _resize_extra(self, size: int, mean_resizing: bool) -> None:
        """Hook for families with further parameters per token (a bias outside of the head)."""

    @torch.no_grad()
    def _resized(self, old: Tensor, size: int, mean: bool) -> nn.Parameter:
        """Rows (or bias entries) 0..size-1 of `old`; new ones at the mean of the old, or at random (a bias at 0)."""
        new = old.new_zeros((size, *old.shape[1:]))
        keep = min(size, old.shape[0])
        new[:keep] = old[:keep]
        if mean:
            new[keep:] = old.float().mean(dim=0).to(old.dtype)
        elif old.ndim > 1:
            new[keep:].normal_(0.0, getattr(self.config.get_text_config(), "initializer_range", 0.02))
        return nn.Parameter(new, requires_grad=old.requires_grad)

    def get_position_embeddings(self) -> Any:
        """Position embeddings, where the family can resize them."""
        raise NotImplementedError(f"{type(self).__name__} has no position embeddings that can be resized.")

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Resize position embeddings, where the family can."""
        raise NotImplementedError(f"{type(self).__name__} has no position embeddings that can be resized.")

    def prune_heads(self, heads_to_prune: dict[int, list[int]]) -> None:
        """Remove attention heads {layer: [heads]}; kept in config.pruned_heads, so that saved models load pruned."""
        for layer, heads in heads_to_prune.items():
            known = set(self.config.pruned_heads.get(layer, ()))
            self.config.pruned_heads[layer] = sorted(known | set(heads))
        prune = getattr(self.base_model, "_prune_heads", None)
        if prune is None:
            raise NotImplementedError(f"{type(self).__name__} cannot prune heads.")
        prune(heads_to_prune)

    # ---- attention ------------------------------------------------------------------------------------------------

    def set_attn_implementation(self, attn_implementation: str | dict[str, str]) -> None:
        """Switch the attention backend: a name, or {sub-config name ("" for the top): name}.

        Raises: ValueError if a backend lacks what the model needs; then nothing is changed.
        """
        by_key = attn_implementation if isinstance(attn_implementation, dict) else None
        models = [module for module in self.modules() if isinstance(module, PreTrainedModel)]
        wanted: list[tuple[PreTrainedModel, AttentionChoice]] = []
        for model in models:
            name = attn_implementation if by_key is None else by_key.get(self._key_of(model.config))
            if name is not None:
                wanted.append((model, choose_attention(str(name), model.needs_of(model.config), type(model).__name__)))
        for model, choice in wanted:
            model.attention_choice = choice
            model.config._attn_implementation_internal, model.config._attn_explicit = choice.name, True
            hooks().xf_dispatch_chosen(model=model, what="attention", name=choice.name)
        for path, module in self.named_modules():
            if isinstance(module, AttentionModule):  # a part whose config is of no model of its own follows its model
                chosen = module.config._attn_implementation or self._owner_of(path).attention_choice.name
                module.use_backend(attention_backend(chosen))

    def _key_of(self, config: Any) -> str:
        """The name under which `config` hangs in this model's config, "" for the config itself."""
        return next((key for key in self.config.sub_configs if getattr(self.config, key, None) is config), "")

    # ---- training -------------------------------------------------------------------------------------------------

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """Recompute activations in the backward pass; kwargs go to torch.utils.checkpoint.checkpoint.

        Raises: ValueError where the model has no layer that can.
        """
        function = functools.partial(recompute, **({"use_reentrant": False} | (gradient_checkpointing_kwargs or {})))
        layers = [module for module in self.modules() if isinstance(module, GradientCheckpointingLayer)]
        if not layers:
            raise ValueError(f"{type(self).__name__} does not support gradient checkpointing.")
        for layer in layers:
            layer._checkpoint, layer.gradient_checkpointing = function, True

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations again."""
        for module in self.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.gradient_checkpointing = False

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether any layer recomputes its activations."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())

    def enable_input_require_grads(self) -> None:
        """Let gradients flow into the embeddings' output: for adapters on frozen weights with checkpointing."""
        self._input_grads_hook = self.get_input_embeddings().register_forward_hook(
            lambda module, args, output: output.requires_grad_(True)
        )

    def disable_input_require_grads(self) -> None:
        """Undo `enable_input_require_grads`."""
        self._input_grads_hook.remove()

    def warn_if_padding_and_no_attention_mask(self, input_ids: Tensor | None, attention_mask: Tensor | None) -> None:
        """Warn once if input_ids begin or end with padding and no attention mask says so."""
        pad = getattr(self.config, "pad_token_id", None)
        if input_ids is None or attention_mask is not None or pad is None:
            return
        if bool((input_ids[:, [0, -1]] == pad).any()):
            logger.warning_once(
                f"The input has padding (token {pad}) but no attention_mask: give the tokenizer's attention_mask, "
                "or padding is read as text."
            )

    # ---- loading and saving ---------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls: type[Self], pretrained_model_name_or_path: Any, *model_args: Any, **kwargs: Any) -> Any:
        """Load a model; see `xf.checkpoint.load.load_pretrained` for the arguments. In eval mode afterwards.

        Returns the model, or (model, loading info) with output_loading_info=True.
        Raises: ValueError for files that do not fit or are damaged; PluginError for a quantizer or attention not there.
        """
        from ..checkpoint.load import load_pretrained

        return load_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs)

    @classmethod
    def _from_config(cls: type[Self], config: PretrainedConfig, **kwargs: Any) -> Self:
        """A new model with random weights; torch_dtype (or dtype) and attn_implementation as in from_pretrained."""
        from ..checkpoint.load import build_from_config

        model: Self = build_from_config(cls, config, **kwargs)
        return model

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> None:
        """Write config, weights and companions; see `xf.checkpoint.save.save_pretrained` for the arguments."""
        from ..checkpoint.save import save_pretrained

        save_pretrained(self, save_directory, **kwargs)

    def _load_companions(self, checkpoint: Any) -> None:
        """Hook: read what lies beside the weights (a generation config)."""

    def _save_companions(self, save_directory: Any) -> None:
        """Hook: write what `_load_companions` reads."""

    @classmethod
    def can_generate(cls) -> bool:
        """Whether the model has `generate`."""
        return callable(getattr(cls, "generate", None))

    def dequantize(self) -> None:
        """Put ordinary modules in place of quantized ones.

        Raises: ValueError if the model is not quantized or the method cannot.
        """
        if self.quantizer is None:
            raise ValueError("The model is not quantized: there is nothing to dequantize.")
        self.quantizer.dequantize(self)
        self.quantizer = None

    def add_model_tags(self, tags: list[str] | str) -> None:
        """Tags for the model card that push_to_hub writes."""
        known = list(getattr(self, "model_tags", None) or [])
        new = [tags] if isinstance(tags, str) else list(tags)
        self.model_tags = known + [tag for tag in new if tag not in known]

    def explain(self) -> Any:
        """What was chosen for this model (attention, quantizer, dtype ...), from where, and why not the others."""
        from ..explain import explain_model

        return explain_model(self)
