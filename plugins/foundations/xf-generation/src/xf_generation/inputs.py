"""What goes into the model: the main input, masks, the encoder's states, the decoder's prompt, one row per sequence.

Shapes: B rows, T prompt tokens, C hidden width.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from xf import logging
from xf.outputs import BaseModelOutput, ModelOutput

from .options import refuse_unknown
from .stepping import PER_TOKEN, POSITIONS, forward_parameters

logger = logging.get_logger(__name__)

ENCODER_ONLY = ("decoder_", "cross_attn", "past_key_values", "use_cache", "cache_position", "labels")


def main_input(model: Any, inputs: Tensor | None, kwargs: dict[str, Any]) -> tuple[Tensor | None, str]:
    """The main input and its name, taken out of `kwargs` (inputs_embeds of a decoder-only model stays there).

    Raises: ValueError if it was given twice or is no tensor.
    """
    encdec = model.config.is_encoder_decoder
    name = model.main_input_name
    if encdec:
        name = getattr(model.get_encoder(), "main_input_name", name)
    given = kwargs.pop(name, None)
    if inputs is not None and given is not None:
        raise ValueError(f"The prompt was given twice: as the first argument and as {name}. Leave one of them out.")
    tensor = given if inputs is None else inputs
    if tensor is not None and not isinstance(tensor, Tensor):
        raise ValueError(
            f"{name} must be a tensor (batch, tokens), not {type(tensor).__name__}: use return_tensors='pt'."
        )
    if name == "input_ids" and tensor is not None:
        _check_ids(tensor)
    if name == "input_ids" and kwargs.get("inputs_embeds") is not None:
        return _with_embeddings(model, tensor, kwargs, encdec)
    return tensor, name


def _check_ids(ids: Tensor) -> None:
    if ids.ndim != 2:
        raise ValueError(
            f"input_ids must be (batch, tokens); it has shape {tuple(ids.shape)}: use ids[None] for one text."
        )
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"input_ids must be integers, not {ids.dtype}: give embeddings as inputs_embeds=.")


def _with_embeddings(model: Any, ids: Tensor | None, kwargs: dict[str, Any], encdec: bool) -> tuple[Tensor | None, str]:
    embeds = kwargs["inputs_embeds"]
    if encdec:
        if ids is not None:
            raise ValueError("Give either input_ids or inputs_embeds to the encoder, not both.")
        return kwargs.pop("inputs_embeds"), "inputs_embeds"
    if "inputs_embeds" not in forward_parameters(type(model)):
        raise ValueError(f"{type(model).__name__} takes no inputs_embeds.")
    if ids is None:
        ids = torch.ones((embeds.shape[0], 0), dtype=torch.long, device=embeds.device)
    elif ids.shape[0] != embeds.shape[0]:
        raise ValueError(f"input_ids has {ids.shape[0]} rows and inputs_embeds {embeds.shape[0]}.")
    return ids, "inputs_embeds"


def without_prompt(model: Any, kwargs: dict[str, Any], bos_token: int | None) -> Tensor | None:
    """The prompt where none was given: the start token for every row that other inputs imply.

    Raises: ValueError if there is no start token.
    """
    if model.config.is_encoder_decoder and kwargs.get("encoder_outputs") is not None:
        return None
    batch = next((value.shape[0] for value in kwargs.values() if isinstance(value, Tensor) and value.ndim), 1)
    if bos_token is None:
        raise ValueError("There is no prompt, and the model has no bos_token_id to start from: give input_ids.")
    return torch.full((batch, 1), bos_token, dtype=torch.long, device=model.device)


def check_token_range(model: Any, ids: Tensor, name: str, kwargs: dict[str, Any]) -> None:
    """Raises: ValueError for ids outside of the embedding. Models with other inputs in place of ids are left alone."""
    if ids.numel() == 0 or any(kwargs.get(other) is not None for other in model.prefill_only_inputs):
        return
    try:
        size = model.get_input_embeddings().num_embeddings
    except (NotImplementedError, AttributeError):
        return
    least, largest = torch.aminmax(ids)
    if int(least) < 0 or int(largest) >= size:
        bad = int(least) if int(least) < 0 else int(largest)
        raise ValueError(
            f"{name} holds the id {bad}, but the model has {size} token embeddings (0 to {size - 1}): is the "
            "tokenizer that of this model? After adding tokens, call model.resize_token_embeddings(len(tokenizer))."
        )


def infer_mask(ids: Tensor, config: Any) -> Tensor | None:
    """(B, T) 1 at text, 0 at padding, where padding can be told from text; None without padding."""
    pad, eos = config.pad_token_id, config.eos_token_id
    if (
        ids.ndim != 2
        or ids.is_floating_point()
        or pad is None
        or pad in (eos if isinstance(eos, (list, tuple)) else [eos])
    ):
        return None
    mask = ids.ne(pad)
    return None if bool(mask.all()) else mask.long()


def check_padding_side(mask: Tensor, what: str) -> None:
    """Raises: ValueError if a row of the prompt (B, T) ends in padding: the answer would follow the padding."""
    ends = mask[:, -1] == 0
    if mask.shape[1] and bool(ends.any()):
        rows = ends.nonzero().flatten().tolist()
        raise ValueError(
            f"Padding is on the right of {what} (rows {rows[:8]}): the model would continue the padding, not the text. "
            'Tokenize with tokenizer(..., padding=True, padding_side="left"), or set tokenizer.padding_side = "left".'
        )


def drop_full_mask(mask: Tensor | None) -> Tensor | None:
    """None in place of a mask (B, T) that hides nothing."""
    return None if mask is None or (mask.ndim == 2 and bool((mask != 0).all())) else mask


def encode(model: Any, inputs: Tensor, name: str, kwargs: dict[str, Any], config: Any) -> ModelOutput:
    """Run the encoder once: on the main input and the keyword arguments that it takes."""
    encoder = model.get_encoder()
    parameters = inspect.signature(encoder.forward).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    asked = {k: v for k, v in kwargs.items() if not k.startswith(ENCODER_ONLY) and (open_ended or k in parameters)}
    for flag in ("output_attentions", "output_hidden_states"):
        if getattr(config, flag) and flag in parameters:
            asked[flag] = True
    asked.update({"return_dict": True, name: inputs})
    found: ModelOutput = encoder(**asked)
    return found


def as_output(encoder_outputs: Any) -> ModelOutput:
    """encoder_outputs given as a tuple or tensor, as the output object that models expect."""
    if isinstance(encoder_outputs, ModelOutput):
        return encoder_outputs
    if isinstance(encoder_outputs, Tensor):
        return BaseModelOutput(last_hidden_state=encoder_outputs)
    return BaseModelOutput(*encoder_outputs)


def expand(tokens: Tensor, kwargs: dict[str, Any], times: int) -> tuple[Tensor, dict[str, Any]]:
    """Repeat every row `times` times, in `tokens` and in all tensors of `kwargs` but the positions in the cache."""
    if times == 1:
        return tokens, kwargs

    def repeated(value: Any, name: str) -> Any:
        if isinstance(value, Tensor) and name != "cache_position" and value.ndim:
            return value.repeat_interleave(times, dim=0)
        if isinstance(value, ModelOutput):
            return type(value)(**{key: _repeat_states(item, times) for key, item in value.items()})
        return value

    expanded = {name: repeated(value, name) for name, value in kwargs.items()}
    cache = expanded.get("past_key_values")
    if cache is not None and cache.get_seq_length() > 0:
        cache.batch_repeat_interleave(times)
    return tokens.repeat_interleave(times, dim=0), expanded


def _repeat_states(item: Any, times: int) -> Any:
    if isinstance(item, Tensor):
        return item.repeat_interleave(times, dim=0)
    return item  # states of every layer are returned per input row, as the encoder made them


def check_model_kwargs(model: Any, kwargs: dict[str, Any], extra: tuple[str, ...]) -> None:
    """Check what is left for the model. token_type_ids, which general tokenizers always return, are left out with a
    warning where the model has no use for them.

    Raises: ValueError for keyword arguments that neither the model nor any generation option takes.
    """
    accepted = set(forward_parameters(type(model))) | {*model.prefill_only_inputs, *model.generation_inputs}
    hook = inspect.signature(model.prepare_inputs_for_generation).parameters
    accepted |= {p.name for p in hook.values() if p.kind is not p.VAR_KEYWORD}
    if model.config.is_encoder_decoder:
        encoder, decoder = model.get_encoder(), model.get_decoder()
        accepted |= set(inspect.signature(encoder.forward).parameters) - {"kwargs", "self"}
        if decoder is not None:
            accepted |= {f"decoder_{p}" for p in inspect.signature(decoder.forward).parameters}
        accepted |= {"encoder_outputs", "decoder_input_ids", "decoder_attention_mask"}
    if kwargs.get("token_type_ids") is not None and "token_type_ids" not in accepted:
        logger.warning_once(f"{type(model).__name__} has no use for token_type_ids: generate leaves them out.")
        del kwargs["token_type_ids"]
    unknown = [name for name in kwargs if name not in accepted]
    refuse_unknown(unknown, [*sorted(accepted), *extra], f"{type(model).__name__}.generate")


def step_inputs(model: Any, tokens: Tensor, embeds: Tensor | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of one forward: of tokens (B, T) those at cache_position, with what belongs to them.

    embeds (B, E, C) stand in for the prompt as long as the positions begin at 0; without a cache, the embeddings of
    later tokens are put behind them.
    """
    parameters = forward_parameters(type(model))
    encdec = bool(model.config.is_encoder_decoder)
    position = kwargs.pop("cache_position", None)
    first = position is None or len(position) == 0 or int(position[0]) == 0
    given: dict[str, Any] = {}
    if embeds is not None and first and not encdec:
        later = 0 if position is None else len(position) - embeds.shape[1]
        if later > 0:
            embeds = torch.cat([embeds, model.get_input_embeddings()(tokens[:, -later:])], dim=1)
        given["inputs_embeds"], length = embeds, embeds.shape[1]
    else:
        if position is not None and len(position) < tokens.shape[1]:
            tokens = tokens[:, -len(position) :]
        given["decoder_input_ids" if encdec else "input_ids"], length = tokens, tokens.shape[1]
    mask = kwargs.get("decoder_attention_mask" if encdec else "attention_mask")
    position_name = "decoder_position_ids" if encdec else "position_ids"
    if mask is not None and mask.ndim == 2 and position_name in parameters and kwargs.get(position_name) is None:
        # padded positions get 1, which no real token of a padded row sees
        given[position_name] = (mask.long().cumsum(-1) - 1).masked_fill(mask == 0, 1)[:, -length:]
    for name in (*PER_TOKEN, *POSITIONS):
        value = kwargs.pop(name, None)
        if value is not None:
            given[name] = value[..., -length:]
    if position is not None and "cache_position" in parameters:
        given["cache_position"] = position
    skipped = () if first else model.prefill_only_inputs
    given.update({k: v for k, v in kwargs.items() if v is not None and k not in given and k not in skipped})
    return given


def next_inputs(outputs: Any, kwargs: dict[str, Any], encdec: bool, new_tokens: int) -> dict[str, Any]:
    """`kwargs` for the forward after `outputs`: the cache, masks and positions, longer by new_tokens."""
    for name in ("past_key_values", "cache_params"):
        if getattr(outputs, name, None) is not None:
            kwargs[name] = getattr(outputs, name)
    for name in PER_TOKEN:
        if kwargs.get(name) is not None:
            kwargs[name] = torch.cat([kwargs[name], kwargs[name][:, -1:].expand(-1, new_tokens)], dim=-1)
    for name in POSITIONS:
        if kwargs.get(name) is not None:
            last = kwargs[name][..., -1:]
            kwargs[name] = torch.cat([kwargs[name], last + torch.arange(1, new_tokens + 1, device=last.device)], dim=-1)
    mask_name = "decoder_attention_mask" if encdec else "attention_mask"
    mask = kwargs.get(mask_name)
    if mask is not None and mask.ndim == 2:
        kwargs[mask_name] = torch.cat([mask, mask.new_ones(mask.shape[0], new_tokens)], dim=-1)
    position = kwargs.get("cache_position")
    if position is not None:
        end = int(position[-1]) + 1
        more = torch.arange(end, end + new_tokens, device=position.device)
        kwargs["cache_position"] = more if kwargs.get("use_cache", True) else torch.cat([position, more])
    return kwargs
