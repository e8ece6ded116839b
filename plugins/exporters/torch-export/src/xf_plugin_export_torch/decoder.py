"""Exporting: the module that fits the model, the program, and text from it.

Shapes: B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xf import logging
from xf.interfaces.cache import layer_kinds

from .modules import TorchExportableModuleWithHybridCache, TorchExportableModuleWithStaticCache, cache_length

logger = logging.get_logger(__name__)


class TorchExportableModuleForDecoderOnlyLM(nn.Module):
    """A decoder-only model with the cache of fixed size that fits it; `model` is the module that holds both.

    Arguments and errors: see `TorchExportableModuleWithStaticCache`.
    """

    def __init__(self, model: Any, max_batch_size: int = 1, max_cache_len: int = 4096) -> None:
        super().__init__()
        if model.config.is_encoder_decoder:
            raise ValueError(f"{type(model).__name__} has an encoder: this export is for decoder-only models.")
        kinds = set(layer_kinds(model.config.get_text_config(decoder=True)))
        plain = kinds == {"full_attention"}
        kind = TorchExportableModuleWithStaticCache if plain else TorchExportableModuleWithHybridCache
        self.model = kind(model, max_batch_size=max_batch_size, max_cache_len=max_cache_len)
        self.training = model.training

    def forward(self, input_ids: Tensor, cache_position: Tensor) -> Tensor:
        """Logits (B, T, V) of input_ids (B, T), which stand at cache_position (T,)."""
        logits: Tensor = self.model(input_ids, cache_position)
        return logits

    def export(
        self,
        input_ids: Tensor | None = None,
        cache_position: Tensor | None = None,
        dynamic_shapes: dict[str, Any] | None = None,
        strict: bool | None = None,
    ) -> torch.export.ExportedProgram:
        """The program of `forward`, traced with these inputs (default: one token per row at position 0).

        dynamic_shapes, strict: as `torch.export.export` has them.
        """
        return _exported(self.model, input_ids, cache_position, dynamic_shapes, strict)

    @staticmethod
    def generate(
        exported_program: Any,
        tokenizer: Any,
        prompt: str,
        max_new_tokens: int = 20,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_k: int = 50,
        top_p: float = 1.0,
        device: str | torch.device = "cpu",
    ) -> str:
        """`prompt` and what an exported program goes on with, as text; it ends at the tokenizer's end token.

        do_sample: draw, after temperature, top_k and top_p; else take the likeliest token.
        Raises: ValueError for an empty prompt, and one that the cache cannot hold.
        """
        from xf_generation.logits.warpers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        tokens_1T = tokenizer(prompt, return_tensors="pt")["input_ids"].to(device)
        program, limit, length = exported_program.module(), cache_length(exported_program), tokens_1T.shape[1]
        if not 0 < length <= limit:
            raise ValueError(f"The prompt has {length} tokens; the program's cache takes 1 to {limit}.")
        warpers: list[Any] = [TemperatureLogitsWarper(temperature)] if do_sample else []
        if do_sample and top_k > 0:
            warpers.append(TopKLogitsWarper(top_k))
        if do_sample and top_p < 1.0:
            warpers.append(TopPLogitsWarper(top_p))
        with torch.no_grad():
            for position in range(min(limit, length + max_new_tokens) - 1):
                at = torch.tensor([position], device=tokens_1T.device)
                scores_1V = program(tokens_1T[:, position : position + 1], at)[:, -1].float()
                if position + 1 < length:
                    continue
                for warper in warpers:
                    scores_1V = warper(tokens_1T, scores_1V)
                next_11 = scores_1V.softmax(-1).multinomial(1) if do_sample else scores_1V.argmax(-1, keepdim=True)
                tokens_1T = torch.cat([tokens_1T, next_11], dim=1)
                if int(next_11) == tokenizer.eos_token_id:
                    break
        return str(tokenizer.decode(tokens_1T[0], skip_special_tokens=True))


def convert_and_export_with_cache(
    model: Any,
    example_input_ids: Tensor | None = None,
    example_cache_position: Tensor | None = None,
    dynamic_shapes: dict[str, Any] | None = None,
    strict: bool | None = None,
) -> torch.export.ExportedProgram:
    """A decoder with a cache of fixed size as a program (input_ids, cache_position) -> logits.

    The sizes of the cache are generation_config.cache_config's batch_size (default 1) and max_cache_len (default 4096).
    example_input_ids (B, T), example_cache_position (T,): what is traced (default: one token at position 0).
    dynamic_shapes, strict: as `torch.export.export` has them.
    Raises: ValueError for settings that contradict an export with a cache, see `TorchExportableModuleWithStaticCache`.
    """
    module = TorchExportableModuleForDecoderOnlyLM(model).model
    return _exported(module, example_input_ids, example_cache_position, dynamic_shapes, strict)


def _exported(
    module: TorchExportableModuleWithStaticCache,
    input_ids: Tensor | None,
    cache_position: Tensor | None,
    dynamic_shapes: dict[str, Any] | None,
    strict: bool | None,
) -> torch.export.ExportedProgram:
    """The program of a module with a cache. The model is in eval mode meanwhile: dropout has no place in it."""
    device, rows = module.model.device, module.static_cache.layers[0].keys.shape[0]
    if input_ids is None:
        input_ids = torch.ones(rows, 1, dtype=torch.long, device=device)
    if cache_position is None:
        cache_position = torch.arange(input_ids.shape[1], device=device)
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            program = torch.export.export(
                module, (input_ids, cache_position), dynamic_shapes=dynamic_shapes, strict=bool(strict)
            )
    finally:
        for part, mode in training.items():
            part.training = mode
        module.bind()
        module.static_cache.reset()
    return program
