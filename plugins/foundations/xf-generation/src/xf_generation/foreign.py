"""ForeignDraft: a draft model whose tokenizer is another one (universal assisted decoding, arXiv:2502.05202).

Its text is spelled in the model's tokens; both sides look a few tokens back (assistant_lookbehind, target_lookbehind),
so that what is added is spelled as in the whole text.

Shapes: T tokens so far, K proposed tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .drafting import Drafter, DraftModel, setting
from .run import Run


def same_vocabulary(one: Any, other: Any) -> bool:
    """Whether two tokenizers have the same tokens under the same ids."""
    return one is other or one.get_vocab() == other.get_vocab()


class ForeignDraft(Drafter):
    """Proposes what a draft model with another vocabulary would write."""

    def __init__(self, run: Run, model: Any, tokenizer: Any, assistant_tokenizer: Any) -> None:
        if run.is_encoder_decoder or model.config.is_encoder_decoder:
            raise ValueError("A draft model with another tokenizer works with decoder-only models.")
        if run.model_kwargs.get("inputs_embeds") is not None:
            raise ValueError("A draft model with another tokenizer needs the prompt as token ids, not inputs_embeds.")
        self.own, self.other = tokenizer, assistant_tokenizer
        self.target_back = int(run.config.target_lookbehind)
        self.other_back = int(run.config.assistant_lookbehind)
        if min(self.target_back, self.other_back) < 1:
            raise ValueError("target_lookbehind and assistant_lookbehind must be at least 1.")
        self.draft = _Writer(run, model)
        self.size = model.config.get_text_config().vocab_size
        self._known: list[int] = []

    def propose(self, tokens_1T: Tensor, room: int) -> tuple[Tensor, Tensor | None]:
        if room < 1:
            return tokens_1T[0, :0], None
        text = _decoded(self.own, tokens_1T[0].tolist())
        ids = _encoded(self.other, text)
        if not ids or max(ids) >= self.size:
            return tokens_1T[0, :0], None
        shared = next((i for i, (a, b) in enumerate(zip(ids, self._known, strict=False)) if a != b), None)
        self.draft.keep(min(len(ids), len(self._known)) if shared is None else shared, len(ids))
        written = self.draft.write(tokens_1T.new_tensor([ids]), room)
        self._known = [*ids, *written]
        return tokens_1T.new_tensor(self._spelled(tokens_1T[0].tolist(), ids, written)[:room]), None

    def _spelled(self, tokens: list[int], ids: list[int], written: list[int]) -> list[int]:
        """The text of `written` in the model's tokens; nothing where it cannot be told apart from the text before."""
        back = ids[-self.other_back :]
        before, after = _decoded(self.other, back), _decoded(self.other, [*back, *written])
        if not after.startswith(before):
            return []
        context = _decoded(self.own, tokens[-self.target_back :])
        spelled, known = _encoded(self.own, context + after[len(before) :]), _encoded(self.own, context)
        return spelled[len(known) :] if spelled[: len(known)] == known else []

    def keep(self, tokens: int) -> None:
        """The text is read anew at every proposal; the draft model's cache is cut there."""

    def learn(self, proposed: int, matched: int) -> None:
        self.draft.learn(proposed, matched)


class _Writer(DraftModel):
    """The draft model in its own vocabulary: always its likeliest tokens, as the model's processors do not fit it."""

    def __init__(self, run: Run, model: Any) -> None:
        cache = model.make_cache(run.config, 1, True)
        super().__init__(run, model, {"use_cache": True, "past_key_values": cache})
        ends = model.generation_config.eos_token_id
        self.ends = set(ends if isinstance(ends, (list, tuple)) else [] if ends is None else [ends])
        self.length = float(setting(run, model, "num_assistant_tokens"))

    def keep(self, tokens: int, total: int = 0) -> None:  # at least the last token is read again
        super().keep(min(tokens, total - 1) if total else tokens)

    def write(self, ids_1T: Tensor, room: int) -> list[int]:
        """The next tokens, at most `room`."""
        text = ids_1T
        written: list[int] = []
        while len(written) < min(int(self.length), room):
            scores_1V = self.feeder(text).logits[:, -1].float()
            token = int(scores_1V.argmax(dim=-1))
            if token in self.ends:
                break
            written.append(token)
            if self.threshold and float(scores_1V.softmax(dim=-1)[0, token]) < self.threshold:
                break
            text = torch.cat([text, text.new_tensor([[token]])], dim=1)
        return written


def _decoded(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _encoded(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
