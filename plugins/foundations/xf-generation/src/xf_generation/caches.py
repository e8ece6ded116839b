"""Which cache a call uses: the user's, the one named by `cache_implementation`, or the dynamic one."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from xf.interfaces.cache import Cache, DynamicCache, EncoderDecoderCache
from xf.plugins import registry
from xf.plugins.hooks import hooks

from .configuration import GenerationConfig

#: settings for exported programs; a cache that `generate` makes has the rows of its call
_ROWS = ("batch_size", "max_batch_size")


def settle_cache(model: Any, config: GenerationConfig, kwargs: dict[str, Any], rows: int, forgets: bool) -> None:
    """Put `past_key_values` and `use_cache` into `kwargs`.

    rows: B after expansion. forgets: the strategy crops the cache, so sliding layers must keep all tokens.
    Raises: ValueError for a cache that is too short; PluginError for a name that no plugin offers.
    """
    given = kwargs.get("past_key_values")
    kwargs["use_cache"] = bool(config.use_cache)
    if not config.use_cache and given is None:
        kwargs.pop("past_key_values", None)
        return
    if given is not None:
        if config.cache_implementation is not None:
            raise ValueError("Give either past_key_values or cache_implementation, not both.")
        kwargs["past_key_values"] = _adopt(model, given)
        kwargs["use_cache"] = True
    else:
        made = model.make_cache(config, rows, forgets)
        if made is not None:
            kwargs["past_key_values"] = made
    cache = kwargs.get("past_key_values")
    if isinstance(cache, Cache):
        _check_room(cache, config)
    if config.return_legacy_cache and cache is not None and not hasattr(cache, "to_legacy_cache"):
        raise ValueError(f"return_legacy_cache=True: a {type(cache).__name__} has no form as tuples; leave it out.")


def returned_cache(config: GenerationConfig, cache: Any) -> Any:
    """The cache as `generate` returns it: as tuples if return_legacy_cache says so."""
    return cache.to_legacy_cache() if config.return_legacy_cache and cache is not None else cache


def _adopt(model: Any, given: Any) -> Any:
    """A cache as it is; legacy tuples as the cache that holds them."""
    if isinstance(given, (tuple, list)):
        kind: Any = EncoderDecoderCache if model.config.is_encoder_decoder else DynamicCache
        return kind.from_legacy_cache(given)
    return given


def default_cache(model: Any, config: GenerationConfig, rows: int, forgets: bool) -> Cache:
    """The cache of `config.cache_implementation`, else the dynamic one; with a second one for an encoder's states."""
    text_config = model.config.get_text_config(decoder=True)
    name = config.cache_implementation
    options = (
        dict(config.cache_config or {})
        if not hasattr(config.cache_config, "to_dict")
        else config.cache_config.to_dict()
    )
    length = config.max_length
    if model.config.is_encoder_decoder:
        own = _named(name, text_config, rows, length, model, options) if name else DynamicCache()
        return EncoderDecoderCache(own, DynamicCache())
    if name is None or name in ("dynamic", "dynamic_full"):
        return DynamicCache() if forgets or name == "dynamic_full" else DynamicCache(config=text_config)
    return _named(name, text_config, rows, length, model, options)


def _named(name: str, text_config: Any, rows: int, length: int, model: Any, options: dict[str, Any]) -> Cache:
    if name in ("dynamic", "dynamic_full"):
        return DynamicCache()
    kind = registry("cache").get(name)
    if not hasattr(kind, "for_generation"):
        raise ValueError(f"cache_implementation={name!r}: {type(model).__name__} cannot keep keys and values in it.")
    options = {key: value for key, value in options.items() if key not in _ROWS}
    made: Cache = kind.for_generation(
        text_config, batch_size=rows, max_length=length, device=model.device, dtype=model.dtype, **options
    )
    hooks().xf_dispatch_chosen(model=model, what="cache", name=name)
    return made


def _check_room(cache: Cache, config: GenerationConfig) -> None:
    """Raises: ValueError if a full layer of a bounded cache cannot hold the text."""
    bounds = [layer.get_max_cache_shape() for layer in cache.layers if not layer.is_sliding]
    bound = min((b for b in bounds if b > 0), default=-1)
    needed = config.max_length - 1  # the last token is never fed back
    if 0 < bound < needed:
        raise ValueError(
            f"The cache holds {bound} tokens, but prompt and answer may need {needed}: make it larger "
            "(max_cache_len), or lower max_new_tokens."
        )


def past_length(kwargs: dict[str, Any]) -> int:
    """Tokens that the cache holds already."""
    cache = kwargs.get("past_key_values")
    return 0 if cache is None or not hasattr(cache, "get_seq_length") else int(cache.get_seq_length())


def check_continuation(tokens: Tensor, length: int, embedded: int) -> None:
    """Raises: ValueError if the prompt does not reach beyond the tokens in a cache that the user handed over."""
    total = max(tokens.shape[1], embedded)
    if length and total <= length:
        raise ValueError(
            f"past_key_values holds {length} tokens, but the prompt has only {total}: give the whole text, the part "
            "in the cache included, or crop the cache."
        )
