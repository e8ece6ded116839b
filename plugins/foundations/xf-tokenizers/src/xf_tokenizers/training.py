"""Training: the pipeline of one tokenizer with a vocabulary learned from new texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer, pre_tokenizers, trainers

from .special_tokens import special_token
from .tokenizer_fast import PreTrainedTokenizerFast

_TRAINERS = {
    "BPE": trainers.BpeTrainer,
    "Unigram": trainers.UnigramTrainer,
    "WordLevel": trainers.WordLevelTrainer,
    "WordPiece": trainers.WordPieceTrainer,
}


def train_new_from_iterator(
    tokenizer: PreTrainedTokenizerFast,
    text_iterator: Iterable[Any],
    vocab_size: int,
    length: int | None = None,
    new_special_tokens: list[str | AddedToken] | None = None,
    special_tokens_map: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> PreTrainedTokenizerFast:
    """See `PreTrainedTokenizerFast.train_new_from_iterator`.

    Special tokens are kept (renamed as `special_tokens_map` says) and come first in the new vocabulary; other added
    tokens are left out, since texts that have them bring them back.
    """
    renamed = dict(special_tokens_map or {})
    new_tokens = [special_token(token) for token in new_special_tokens or []]
    pipeline = json.loads(tokenizer.backend_tokenizer.to_str())
    added, post_processor = pipeline.pop("added_tokens"), pipeline.pop("post_processor")
    model = pipeline["model"]
    _empty(model, renamed)
    backend = Tokenizer.from_str(json.dumps({**pipeline, "added_tokens": [], "truncation": None, "padding": None}))
    special = [_renamed_token(token, renamed) for token in added if token["special"]] + new_tokens
    backend.train_from_iterator(
        text_iterator, length=length, trainer=_trainer(model, pipeline["pre_tokenizer"], vocab_size, special, kwargs)
    )
    if post_processor is not None:
        trained = json.loads(backend.to_str())
        trained["post_processor"] = _renamed_post_processor(post_processor, renamed, backend)
        backend = Tokenizer.from_str(json.dumps(trained))
    arguments = {**tokenizer.init_kwargs, **_special_arguments(tokenizer, renamed, new_special_tokens or [])}
    new = type(tokenizer)(tokenizer_object=backend, own_tokenizer_object=True, **arguments)
    new._file_settings = tokenizer._file_settings
    return new


def _empty(model: dict[str, Any], renamed: Mapping[str, str]) -> None:
    """Take the vocabulary out of a model, in place."""
    kind = model["type"]
    if kind not in _TRAINERS:
        raise ValueError(f"a tokenizer with a {kind} model cannot be trained; {', '.join(_TRAINERS)} can")
    if kind == "Unigram":
        unknown = model.get("unk_id")
        model["vocab"] = (
            [] if unknown is None else [[renamed.get(model["vocab"][unknown][0], model["vocab"][unknown][0]), 0.0]]
        )
        model["unk_id"] = None if unknown is None else 0
        return
    model["vocab"] = {}
    if kind == "BPE":
        model["merges"] = []
    if model.get("unk_token") is not None:
        model["unk_token"] = renamed.get(model["unk_token"], model["unk_token"])


def _trainer(
    model: dict[str, Any], pre_tokenizer: Any, vocab_size: int, special: list[AddedToken], kwargs: dict[str, Any]
) -> Any:
    options: dict[str, Any] = {"vocab_size": vocab_size, "special_tokens": special}
    if model["type"] == "Unigram":
        if model["unk_id"] is not None:
            options["unk_token"] = model["vocab"][model["unk_id"]][0]
    else:
        for key in ("continuing_subword_prefix", "end_of_word_suffix"):
            if model.get(key) is not None:
                options[key] = model[key]
    if pre_tokenizer is not None and '"ByteLevel"' in json.dumps(pre_tokenizer):
        options["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    return _TRAINERS[model["type"]](**{**options, **kwargs})


def _renamed_token(token: Mapping[str, Any], renamed: Mapping[str, str]) -> AddedToken:
    flags = {key: token[key] for key in ("single_word", "lstrip", "rstrip", "normalized", "special")}
    return AddedToken(renamed.get(token["content"], token["content"]), **flags)


def _renamed_post_processor(post_processor: Any, renamed: Mapping[str, str], backend: Tokenizer) -> Any:
    """The post-processor with the new names and ids of special tokens."""

    def place(token: str) -> tuple[str, int]:
        name = renamed.get(token, token)
        index = backend.token_to_id(name)
        if index is None:
            raise ValueError(f"the post-processor adds {name!r}, which is no special token of the new vocabulary")
        return name, index

    updated = dict(post_processor)
    for key in ("sep", "cls"):
        if key in updated:
            updated[key] = list(place(updated[key][0]))
    if "special_tokens" in updated:
        for key, value in updated["special_tokens"].items():
            names, ids = zip(*map(place, value["tokens"]), strict=True)
            updated["special_tokens"] = {**updated["special_tokens"], key: {**value, "tokens": names, "ids": ids}}
    if "processors" in updated:
        updated["processors"] = [_renamed_post_processor(part, renamed, backend) for part in updated["processors"]]
    return updated


def _special_arguments(
    tokenizer: PreTrainedTokenizerFast, renamed: Mapping[str, str], new_tokens: list[str | AddedToken]
) -> dict[str, Any]:
    """The special tokens of the tokenizer, renamed, as arguments of its class."""

    def rename(token: str | AddedToken) -> str | AddedToken:
        name = renamed.get(str(token))
        if name is None or isinstance(token, str):
            return name or token
        state = {**token.__getstate__(), "content": name}
        return AddedToken(state.pop("content"), **state)

    arguments: dict[str, Any] = {}
    for key, value in tokenizer.special_tokens_map_extended.items():
        arguments[key] = [rename(token) for token in value] if isinstance(value, list) else rename(value)
    if new_tokens:
        arguments["additional_special_tokens"] = [*arguments.get("additional_special_tokens", []), *new_tokens]
    return arguments
