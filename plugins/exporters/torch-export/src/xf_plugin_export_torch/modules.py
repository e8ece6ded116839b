"""Modules that hold a decoder and its cache, so that `torch.export` sees one program with state.

Shapes: B batch, T tokens, V vocabulary, L slots of the cache.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf import logging
from xf.plugins import registry

logger = logging.get_logger(__name__)


class TorchExportableModuleWithStaticCache(nn.Module):
    """A causal language model with a static cache; the buffers key_cache_i and value_cache_i are layer i's.

    max_batch_size: rows of every call. max_cache_len: the most tokens of a text. Where the model's
    generation_config.cache_config has batch_size or max_cache_len, these count.
    Raises: ValueError if the model's generation_config turns the cache off, or names another kind of cache.
    """

    cache_name: ClassVar[str] = "static"
    accepted: ClassVar[tuple[str | None, ...]] = (None, "static")

    def __init__(self, model: Any, max_batch_size: int = 1, max_cache_len: int = 4096) -> None:
        super().__init__()
        sizes = self._sizes(model, max_batch_size, max_cache_len)
        self.model = model
        self.training = model.training
        self.max_cache_len = sizes["max_cache_len"]
        kind: Any = registry("cache").get(self.cache_name)
        self.static_cache = kind(model.config, **sizes, device=model.device, dtype=model.dtype)
        self.register_buffer("text_length", torch.tensor(self.max_cache_len), persistent=False)
        for index, layer in enumerate(self.static_cache.layers):
            self.register_buffer(f"key_cache_{index}", layer.keys, persistent=False)
            self.register_buffer(f"value_cache_{index}", layer.values, persistent=False)

    def _sizes(self, model: Any, max_batch_size: int, max_cache_len: int) -> dict[str, int]:
        settings = getattr(model, "generation_config", None)
        given: dict[str, Any] = {}
        if settings is not None:
            if not settings.use_cache:
                raise ValueError(
                    "The exported program keeps its cache: set model.generation_config.use_cache = True first."
                )
            if settings.cache_implementation not in self.accepted:
                raise ValueError(
                    f"model.generation_config.cache_implementation is {settings.cache_implementation!r}, but the "
                    f"exported program has a {self.cache_name!r} cache: set it to that, or to None."
                )
            given = dict(settings.cache_config or {})
        rows = given.get("batch_size", given.get("max_batch_size", max_batch_size))
        return {"max_batch_size": rows, "max_cache_len": given.get("max_cache_len", max_cache_len)}

    def forward(self, input_ids: Tensor, cache_position: Tensor) -> Tensor:
        """Logits (B, T, V) of input_ids (B, T), which stand at cache_position (T,) and see all that was given before.

        Positions go on from 0 without a gap; 0 begins a new text.
        """
        if torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling():
            self.bind()  # what is traced are stand-ins for the buffers
        outputs = self.model(
            input_ids=input_ids,
            position_ids=cache_position.unsqueeze(0),
            cache_position=cache_position,
            past_key_values=self.static_cache,
            use_cache=True,
        )
        logits: Tensor = outputs.logits
        return logits

    def bind(self) -> None:
        """Let the layers of the cache use the buffers as they are now."""
        for index, layer in enumerate(self.static_cache.layers):
            layer.keys, layer.values = getattr(self, f"key_cache_{index}"), getattr(self, f"value_cache_{index}")

    @staticmethod
    def generate(exported_program: Any, prompt_token_ids: Tensor, max_new_tokens: int) -> Tensor:
        """Greedy search with an exported program: prompt_token_ids (B, T) and up to max_new_tokens more, (B, T + new).

        The text ends, with a warning, where the cache does; end tokens do not end it.
        Raises: ValueError for an empty prompt, and one that the cache cannot hold.
        """
        program, limit = exported_program.module(), cache_length(exported_program)
        length = prompt_token_ids.shape[1]
        if not 0 < length <= limit:
            raise ValueError(f"The prompt has {length} tokens; the program's cache takes 1 to {limit}.")
        if length + max_new_tokens > limit:
            logger.warning(f"The program's cache holds {limit} tokens: the text ends there.")
        tokens_BT = prompt_token_ids
        with torch.no_grad():
            for position in range(min(limit, length + max_new_tokens) - 1):
                at = torch.tensor([position], device=tokens_BT.device)
                logits_B1V = program(tokens_BT[:, position : position + 1], at)
                if position + 1 >= length:
                    tokens_BT = torch.cat([tokens_BT, logits_B1V[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
        return tokens_BT


class TorchExportableModuleWithHybridCache(TorchExportableModuleWithStaticCache):
    """The same with a cache whose layers are of the kinds that the model declares: full, sliding, chunked.

    Exported, it takes one token at a time, because a window that slides by several has another size.
    """

    cache_name = "hybrid"
    accepted = (None, "static", "hybrid")


def cache_length(exported_program: Any) -> int:
    """The most tokens of a text, for which an exported program was made."""
    buffers = dict(exported_program.named_buffers())
    found = [value for name, value in buffers.items() if name.endswith("text_length")]
    if not found:  # strict tracing drops what forward does not read: the largest layer tells
        found = [torch.tensor(value.shape[2]) for name, value in buffers.items() if "key_cache_" in name]
    if not found:
        raise ValueError("The program has no cache: export it with convert_and_export_with_cache.")
    return int(max(found))
