"""Rules: one request's settings, settled as `generate` settles them: how a token is chosen and when the text ends.

Shapes: T tokens so far, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xf import logging
from xf_generation import inputs as prepare
from xf_generation.assemble import build_criteria, build_processors, choose_strategy
from xf_generation.decoding.sample import Sample
from xf_generation.options import refuse_unknown
from xf_generation.run import Run, TokenBuffer
from xf_generation.scores import check_scores
from xf_generation.settle import EXTRA, settle_config, settle_generators, settle_lengths, settle_tokens
from xf_generation.stopping import EosTokenCriteria, MaxLengthCriteria

from .cache import CannotBatch

logger = logging.get_logger(__name__)

# settings of `generate` about what it returns or keeps, which have no meaning here
_WITHOUT_EFFECT = (
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "output_logits",
    "cache_implementation",
)


class Rules:
    """Chooses the tokens of one text.

    prompt: token ids. settings: as `generate` takes them (fields of GenerationConfig, options of plugins, seed,
    generator, tokenizer), and logits_processor, stopping_criteria.
    Raises: ValueError for a prompt or settings that `generate` refuses too; CannotBatch for strategies other than
    greedy search and sampling.
    """

    def __init__(self, model: Any, generation_config: Any, prompt: list[int], settings: dict[str, Any]) -> None:
        settings = dict(settings)
        processors, criteria = settings.pop("logits_processor", None), settings.pop("stopping_criteria", None)
        arguments = {"prefix_allowed_tokens_fn": settings.pop("prefix_allowed_tokens_fn", None)}
        config, others, extra, names = settle_config(model, generation_config, None, settings)
        refuse_unknown(sorted(others), EXTRA, "Continuous batching")
        tokens_1T = torch.tensor([prompt], dtype=torch.long, device=model.device)
        if not prompt:
            raise ValueError("The prompt is empty: give at least one token (the model's bos_token_id starts a text).")
        prepare.check_token_range(model, tokens_1T, "input_ids", {})
        if choose_strategy(config, None, None) is not Sample or (config.num_return_sequences or 1) > 1:
            raise CannotBatch(
                "Continuous batching does greedy search and sampling of one text per request. Use generate() for beams "
                "and other strategies; for several samples add the prompt several times."
            )
        ignored = [name for name in _WITHOUT_EFFECT if getattr(config, name, None)]
        if ignored:
            logger.warning_once(f"Continuous batching ignores {', '.join(ignored)}.")
        pad, self.ends = settle_tokens(config)
        settle_lengths(model, config, names, len(prompt), 0, False)
        run = Run(
            model=model, config=config, tokens=tokens_1T, model_kwargs={}, processors=None, criteria=None,  # type: ignore[arg-type]
            max_length=config.max_length, batch_size=1, pad_token=pad, eos_tokens=self.ends,
            generators=settle_generators(extra, 1, 1, tokens_1T.device), inputs_tensor=tokens_1T, extra=extra,
        )  # fmt: skip
        run.processors = build_processors(run, processors, arguments)
        run.criteria = build_criteria(run, criteria)
        self.run, self.sampled = run, bool(config.do_sample)
        self.max_length = min(
            [config.max_length, *(c.max_length for c in run.criteria if type(c) is MaxLengthCriteria)]
        )
        plain = (MaxLengthCriteria, EosTokenCriteria)
        self.criteria = [criterion for criterion in run.criteria if type(criterion) not in plain]
        #: whether the next token is the likeliest one, whatever the text
        self.is_plain = not (self.sampled or run.processors)
        keeps_tokens = bool(run.processors or self.criteria)
        self._buffer = TokenBuffer(tokens_1T, self.max_length) if keeps_tokens else None
        self._length = len(prompt)
        self._scores: Tensor | None = None

    def choose(self, logits_1V: Tensor) -> int:
        """The next token for these logits of the last token.

        Raises: ValueError for scores of which none may be chosen.
        """
        scores_1V = logits_1V
        if self.run.processors:
            assert self._buffer is not None
            scores_1V = self.run.processors(self._buffer.view, logits_1V.to(torch.float32, copy=True))
        check_scores(scores_1V)
        self._scores = scores_1V
        return int(self.run.draw(scores_1V)) if self.sampled else int(scores_1V.argmax())

    def ended_by(self, token: int, logits_1V: Tensor) -> str | None:
        """Note the chosen token; why the text ends with it, None if it goes on."""
        self._length += 1
        if self._buffer is not None:
            self._buffer.append(torch.tensor([token], device=logits_1V.device))
        if token in self.ends:
            return "eos"
        for criterion in self.criteria:
            assert self._buffer is not None
            scores = logits_1V if self._scores is None else self._scores
            if bool(torch.as_tensor(criterion(self._buffer.view, scores)).any()):
                return "criterion"
        return "length" if self._length >= self.max_length else None
