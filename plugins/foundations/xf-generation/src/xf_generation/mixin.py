"""GenerationMixin: `generate` for models (spec: main_classes/text_generation.md).

A model mixes it in and works; what differs in a family is declared (`prefill_only_inputs` ...) or overridden in the
hooks `prepare_inputs_for_generation`, `_update_model_kwargs_for_generation`,
`_prepare_decoder_input_ids_for_generation`, `make_cache`.

Shapes: B rows (batch times beams or returned sequences), T tokens, V vocabulary, C hidden width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from xf.hub import refuse_remote_code
from xf.interfaces.cache import Cache

from . import inputs as prepare
from .batching import ContinuousMixin
from .caches import check_continuation, default_cache, past_length, settle_cache
from .configuration import GENERATION_CONFIG_NAME, GenerationConfig
from .run import Run
from .settle import EXTRA, settle_config, settle_generators, settle_lengths, settle_sync, settle_tokens, start_tokens
from .stepping import forward_parameters
from .streamers import telling
from .transitions import transition_scores


class GenerationMixin(ContinuousMixin):
    """Adds `generate` to a model whose forward returns `logits` (B, T, V).

    prefill_only_inputs: inputs that only the first forward gets (pixel_values ...). generation_inputs: further inputs
    that `generate` accepts and an overridden hook uses up. decoder_prompt_needs_start: whether decoder_input_ids get
    the decoder's start token put in front where it is missing.
    """

    prefill_only_inputs: ClassVar[tuple[str, ...]] = ()
    generation_inputs: ClassVar[tuple[str, ...]] = ()
    decoder_prompt_needs_start: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # In `class M(PreTrainedModel, GenerationMixin)` the model's empty hooks would hide ours.
        for name in ("_load_companions", "_save_companions"):
            if getattr(getattr(cls, name), "__qualname__", "").startswith("PreTrainedModel."):
                setattr(cls, name, getattr(GenerationMixin, name))

    # ---- settings -------------------------------------------------------------------------------------------------

    @property
    def generation_config(self) -> GenerationConfig:
        """The settings that `generate` starts from: generation_config.json, or what the model's config says."""
        found: GenerationConfig | None = self.__dict__.get("_generation_config")
        if found is None:
            found = GenerationConfig.from_model_config(self.config)  # type: ignore[attr-defined]
            self.__dict__["_generation_config"] = found
            self.__dict__["_generation_config_read"] = found.to_json_string()
        return found

    @generation_config.setter
    def generation_config(self, value: GenerationConfig) -> None:
        self.__dict__["_generation_config"] = value

    def _load_companions(self, checkpoint: Any) -> None:
        """Read generation_config.json from beside the weights."""
        data = checkpoint.read_json(GENERATION_CONFIG_NAME)
        if data is not None:
            try:
                self.generation_config = GenerationConfig.from_dict(data)
            except ValueError as error:
                raise ValueError(f"{GENERATION_CONFIG_NAME} of {checkpoint.name}: {error}") from error

    def _save_companions(self, save_directory: Any) -> None:
        """Write generation_config.json beside the weights."""
        self.generation_config.save_pretrained(save_directory)

    # ---- generate -------------------------------------------------------------------------------------------------

    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Callable[[int, Tensor], list[int]] | None = None,
        synced_gpus: bool | None = None,
        assistant_model: Any = None,
        streamer: Any = None,
        negative_prompt_ids: Tensor | None = None,
        negative_prompt_attention_mask: Tensor | None = None,
        use_model_defaults: bool | None = None,
        custom_generate: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Continue the prompt `inputs` (B, T): token ids, or what the model's encoder reads.

        kwargs: settings (fields of GenerationConfig and options of plugins; they win over `generation_config`), inputs
        of the model, and tokenizer, assistant_tokenizer, seed (an int, or one per row) or generator for sampling that
        does not touch the global random state. custom_generate names an installed strategy of `xf.v1.decoding`.

        Returns token ids (B, T), the prompt included for decoder-only models; with return_dict_in_generate=True an
        output object (see `outputs`).
        Raises: ValueError for arguments nobody knows, contradicting settings, and prompts that cannot be continued.
        """
        from .assemble import build_criteria, build_processors, choose_strategy

        refuse_remote_code(kwargs)
        config, model_kwargs, extra, settings = settle_config(self, generation_config, use_model_defaults, kwargs)
        extra["settings"] = settings
        prepare.check_model_kwargs(self, model_kwargs, EXTRA)
        strategy = choose_strategy(config, assistant_model, custom_generate)
        arguments = {
            "prefix_allowed_tokens_fn": prefix_allowed_tokens_fn,
            "negative_prompt_ids": negative_prompt_ids,
            "negative_prompt_attention_mask": negative_prompt_attention_mask,
        }
        strategy.check(self, config, streamer)
        with torch.no_grad(), telling(streamer):
            run = self._prepare_run(inputs, config, model_kwargs, extra, strategy)
            run.streamer, run.assistant_model, run.synced = streamer, assistant_model, settle_sync(synced_gpus)
            run.processors = build_processors(run, logits_processor, arguments)
            run.criteria = build_criteria(run, stopping_criteria)
            return strategy(run).decode()

    def _prepare_run(
        self,
        inputs: Tensor | None,
        config: GenerationConfig,
        kwargs: dict[str, Any],
        extra: dict[str, Any],
        strategy: Any,
    ) -> Run:
        """Everything between the arguments and the loop: prompt, masks, encoder, lengths, rows, cache."""
        encdec = bool(self.config.is_encoder_decoder)  # type: ignore[attr-defined]
        pad, ends = settle_tokens(config)
        tensor, name = prepare.main_input(self, inputs, kwargs)
        if tensor is None:
            tensor = prepare.without_prompt(self, kwargs, config.bos_token_id)
        if name == "input_ids" and tensor is not None:
            prepare.check_token_range(self, tensor, name, kwargs)
        self._settle_mask(tensor, name, config, kwargs)
        if encdec:
            tokens = self._prepare_decoder(tensor, name, config, kwargs)
        else:
            assert tensor is not None
            tokens = tensor
        embeds = kwargs.get("inputs_embeds") if not encdec else None
        embedded = embeds.shape[1] if embeds is not None else 0
        extended = embedded != tokens.shape[1] and embeds is not None
        if tokens.shape[1] == 0 and not embedded and strategy.needs_prompt:
            raise ValueError("The prompt is empty: give at least one token (the model's bos_token_id starts a text).")
        batch_size = tokens.shape[0]
        settle_lengths(self, config, extra["settings"], tokens.shape[1], embedded, extended)
        rows = strategy.rows_per_input(config)
        tokens, kwargs = self._expand_inputs_for_generation(rows, encdec, tokens, **kwargs)
        # attentions are returned to all tokens, so sliding layers must not forget those outside of their window
        shows_all = bool(config.return_dict_in_generate and config.output_attentions)
        settle_cache(self, config, kwargs, tokens.shape[0], strategy.crops_cache or shows_all)
        self._start_positions(tokens, kwargs, embedded)
        if strategy.keeps_logits and "logits_to_keep" in forward_parameters(type(self)):
            kwargs.setdefault("logits_to_keep", 1)
        return Run(
            model=self,
            config=config,
            tokens=tokens,
            model_kwargs=kwargs,
            processors=None,  # type: ignore[arg-type]  # filled in by generate
            criteria=None,  # type: ignore[arg-type]
            max_length=config.max_length,
            batch_size=batch_size,
            pad_token=pad,
            eos_tokens=ends,
            generators=settle_generators(extra, batch_size, tokens.shape[0], tokens.device),
            inputs_tensor=tensor,
            extra=extra,
        )

    def _settle_mask(self, tensor: Tensor | None, name: str, config: GenerationConfig, kwargs: dict[str, Any]) -> None:
        """attention_mask: the user's, one inferred from padding, or none where it would hide nothing."""
        mask = kwargs.get("attention_mask")
        ids = tensor if name == "input_ids" else None
        if mask is None and ids is not None:
            mask = prepare.infer_mask(ids, config)
        if isinstance(mask, Tensor) and mask.ndim == 2:
            if not self.config.is_encoder_decoder:  # type: ignore[attr-defined]
                prepare.check_padding_side(mask, "the prompt")
            mask = prepare.drop_full_mask(mask)
        if mask is None:
            kwargs.pop("attention_mask", None)
        else:
            kwargs["attention_mask"] = mask

    def _prepare_decoder(
        self, tensor: Tensor | None, name: str, config: GenerationConfig, kwargs: dict[str, Any]
    ) -> Tensor:
        """Run the encoder, unless its output was given; returns the decoder's prompt (B, T)."""
        if kwargs.get("encoder_outputs") is None:
            assert tensor is not None
            kwargs["encoder_outputs"] = prepare.encode(self, tensor, name, kwargs, config)
        else:
            kwargs["encoder_outputs"] = prepare.as_output(kwargs["encoder_outputs"])
        batch_size = kwargs["encoder_outputs"][0].shape[0]
        tokens = self._prepare_decoder_input_ids_for_generation(batch_size, config, kwargs)
        prepare.check_token_range(self, tokens, "decoder_input_ids", kwargs)
        mask = prepare.drop_full_mask(kwargs.pop("decoder_attention_mask", None))
        if mask is not None:
            prepare.check_padding_side(mask, "decoder_input_ids")
            kwargs["decoder_attention_mask"] = mask
        return tokens

    def _prepare_decoder_input_ids_for_generation(
        self, batch_size: int, config: GenerationConfig, model_kwargs: dict[str, Any]
    ) -> Tensor:
        """The decoder's prompt (B, T): decoder_input_ids out of model_kwargs, begun with the start token; or that
        alone.
        """
        device = model_kwargs["encoder_outputs"][0].device
        given = model_kwargs.pop("decoder_input_ids", None)
        if given is None:
            return start_tokens(config, batch_size, device)
        if given.ndim != 2 or given.shape[0] != batch_size:
            raise ValueError(f"decoder_input_ids must be ({batch_size}, tokens); it has shape {tuple(given.shape)}.")
        if not self.decoder_prompt_needs_start:
            return given
        start = start_tokens(config, batch_size, device)
        if bool((given[:, :1] != start).all()):
            mask = model_kwargs.get("decoder_attention_mask")
            if mask is not None:
                model_kwargs["decoder_attention_mask"] = torch.cat([mask.new_ones(batch_size, 1), mask], dim=1)
            return torch.cat([start, given], dim=1)
        return given

    @staticmethod
    def _expand_inputs_for_generation(
        expand_size: int = 1, is_encoder_decoder: bool = False, input_ids: Tensor | None = None, **model_kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Repeat every row expand_size times, in the prompt and in all inputs."""
        assert input_ids is not None
        return prepare.expand(input_ids, model_kwargs, expand_size)

    def _start_positions(self, tokens: Tensor, kwargs: dict[str, Any], embedded: int) -> None:
        """cache_position of the first forward: the tokens beyond those in the cache."""
        past = past_length(kwargs)
        check_continuation(tokens, past, embedded)
        kwargs["cache_position"] = torch.arange(past, max(tokens.shape[1], embedded), device=tokens.device)

    def compute_transition_scores(
        self,
        sequences: Tensor,
        scores: tuple[Tensor, ...],
        beam_indices: Tensor | None = None,
        normalize_logits: bool = False,
    ) -> Tensor:
        """(B, generated) the score of every generated token, from the sequences, scores (and with beams beam_indices)
        that generate returned; with normalize_logits log probabilities. See `transitions`.
        """
        return transition_scores(sequences, scores, beam_indices, normalize_logits)

    # ---- hooks ----------------------------------------------------------------------------------------------------

    def make_cache(self, config: GenerationConfig, rows: int, forgets: bool) -> Cache | None:
        """The cache for `rows` rows and config.max_length tokens; None where forward makes its own (state-space
        models).

        forgets: latest tokens will be dropped again, so sliding layers must keep all tokens.
        """
        return default_cache(self, config, rows, forgets)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache_position: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The keyword arguments of one forward: of input_ids (B, T) the tokens at cache_position, and what goes with
        them.

        inputs_embeds stand in for the prompt in the first forward; prefill_only_inputs are left out of all others.
        """
        given = {"past_key_values": past_key_values, "attention_mask": attention_mask, "cache_position": cache_position}
        return prepare.step_inputs(self, input_ids, inputs_embeds, {**given, **kwargs})

    def _update_model_kwargs_for_generation(
        self, outputs: Any, model_kwargs: dict[str, Any], is_encoder_decoder: bool = False, num_new_tokens: int = 1
    ) -> dict[str, Any]:
        """The inputs of the next forward, after num_new_tokens were added: cache, masks, positions."""
        return prepare.next_inputs(outputs, model_kwargs, is_encoder_decoder, num_new_tokens)
