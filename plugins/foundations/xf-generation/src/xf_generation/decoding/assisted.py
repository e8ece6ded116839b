"""Assisted (speculative) decoding: tokens are proposed cheaply and checked in one forward (arXiv:2211.17192).

The proposals come from a draft model (`assistant_model`), from earlier text (prompt_lookup_num_tokens) or from the
model's own first layers (assistant_early_exit). Greedy answers are those of greedy search; sampled ones are distributed
as those of sampling.

Shapes: K proposed tokens, T tokens so far, V vocabulary; one row.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..drafting import Drafter, DraftModel, PromptLookup, early_exit
from ..feeding import Feeder
from ..foreign import ForeignDraft, same_vocabulary
from ..inputs import encode
from ..run import Recorder, Run, TokenBuffer
from ..scores import check_scores
from .base import DecodingStrategy, Ending

_NGRAM = 2  # latest tokens that prompt lookup compares at most, unless max_matching_ngram_size says otherwise


class AssistedGeneration(DecodingStrategy):
    """Greedy search or sampling that takes several tokens per forward where proposals are right."""

    crops_cache = True
    keeps_logits = False  # the logits of all proposed tokens are needed

    @classmethod
    def check(cls, model: Any, config: Any, streamer: Any) -> None:
        super().check(model, config, streamer)
        if not config.use_cache:
            raise ValueError("Assisted decoding needs use_cache=True: checked tokens are kept in the cache.")

    def decode(self) -> Any:
        run = self.run
        if run.tokens.shape[0] != 1:
            raise ValueError(
                f"Assisted decoding works on one text, not on {run.tokens.shape[0]}: rows would accept different "
                "numbers of tokens. Call generate for each text, or leave the assistant out."
            )
        if run.synced:
            raise ValueError("Assisted decoding cannot keep ranks in step: leave synced_gpus or the assistant out.")
        for processor in run.processors:
            if getattr(processor, "follows_text", False):
                raise ValueError(
                    f"{type(processor).__name__} follows the text token by token, but assisted decoding tries tokens "
                    "and takes them back: leave one of them out."
                )
        return self._decode(make_drafter(run))

    def _decode(self, drafter: Drafter) -> Any:
        run, record, ending = self.run, Recorder.wanted_by(self.run), Ending(self.run)
        feeder = Feeder(run.model, run.model_kwargs, run.prompt_length)
        buffer = TokenBuffer(run.tokens, run.max_length)
        flags = _flags(run)
        if run.streamer is not None:
            run.streamer.put(run.tokens.cpu())
        unfinished = True
        while unfinished:
            text = buffer.view
            before = text.shape[1]
            proposed_K, draft_KV = drafter.propose(text, run.max_length - before - 1)
            tried = torch.cat([text, proposed_K[None]], dim=1)
            outputs = feeder(tried, wanted=len(proposed_K) + 1, **flags)
            logits_KV = outputs.logits[0].to(torch.float32, copy=True)
            scores_KV = self._processed(tried, logits_KV)
            chosen, matched = self._choose(scores_KV, proposed_K, draft_KV)
            for place, token in enumerate(chosen):
                next_1 = text.new_tensor([token])
                if record is not None:
                    record.add(
                        _of_token(outputs, place, len(proposed_K)), logits_KV[None, place], scores_KV[None, place]
                    )
                buffer.append(next_1)
                if run.streamer is not None:
                    run.streamer.put(next_1.cpu())
                listed = tuple(record.scores) if record is not None and record.scores is not None else None
                unfinished = ending.update(buffer.view, next_1, listed or scores_KV[None, place])
                unfinished = unfinished and not getattr(run.streamer, "closed", False)
                if not unfinished:
                    break
            feeder.forget(buffer.length - 1)
            if isinstance(drafter, (DraftModel, ForeignDraft)):
                drafter.keep(min(before + matched, buffer.length - 1))
            drafter.learn(len(proposed_K), matched)
        if run.streamer is not None:
            run.streamer.end()
        run.model_kwargs = {**run.model_kwargs, "past_key_values": feeder.cache}
        sequences = buffer.view.clone()
        return sequences if record is None else record.finish(sequences, feeder.cache)

    def _processed(self, tried: Tensor, logits_KV: Tensor) -> Tensor:
        """The scores (K + 1, V) behind the processors, each for the text up to its token."""
        if not self.run.processors:
            return logits_KV
        first = tried.shape[1] - len(logits_KV) + 1
        rows = []
        for i, logits_V in enumerate(logits_KV):
            rows.append(self.run.processors(tried[:, : first + i], logits_V[None]))
            if i + 1 < len(logits_KV) and rows[-1][0, tried[0, first + i]] == -math.inf:
                rows.append(logits_KV[i + 1 :])  # what follows a forbidden token is never taken: nobody needs to see it
                break
        return torch.cat(rows)

    def _choose(self, scores_KV: Tensor, proposed_K: Tensor, draft_KV: Tensor | None) -> tuple[list[int], int]:
        """The tokens to take, and how many of the proposed ones are among them."""
        if self.run.config.do_sample and draft_KV is not None:
            return self._reject(scores_KV, proposed_K, draft_KV)
        picked = self._drawn(scores_KV) if self.run.config.do_sample else scores_KV.argmax(dim=-1)
        matched = _leading(picked[:-1] == proposed_K)
        check_scores(scores_KV[: matched + 1])  # those behind a wrong proposal may be anything
        return picked[: matched + 1].tolist(), matched

    def _drawn(self, scores_KV: Tensor) -> Tensor:
        """(K + 1,) tokens at random; any where nothing can be drawn, which is an error only if it is reached."""
        unusable_K1 = ~scores_KV.amax(dim=-1, keepdim=True).isfinite()
        return self.run.draw(scores_KV.masked_fill(unusable_K1, 0.0))[:, 0]

    def _reject(self, scores_KV: Tensor, proposed_K: Tensor, draft_KV: Tensor) -> tuple[list[int], int]:
        """Rejection sampling (arXiv:2211.17192, algorithm 1): the result is distributed as the model's own draws."""
        p_KV, q_KV = scores_KV.softmax(dim=-1), draft_KV.softmax(dim=-1)
        places = torch.arange(len(proposed_K), device=proposed_K.device)
        ratio_K = p_KV[places, proposed_K] / q_KV[places, proposed_K]
        generator = self.run.generators[0] if self.run.generators else None
        chance_K = torch.rand(len(proposed_K), generator=generator, device=proposed_K.device)
        matched = _leading(chance_K < ratio_K)
        check_scores(scores_KV[: matched + 1])
        taken = proposed_K[:matched].tolist()
        left_V = p_KV[matched]
        if matched < len(proposed_K):
            left_V = (left_V - q_KV[matched]).clamp(min=0)
        last = self.run.draw(left_V.log()[None])
        return [*taken, int(last)], matched


def _leading(right_K: Tensor) -> int:
    """How many of the first entries are true, without a gap."""
    return int(right_K.long().cumprod(dim=0).sum())


def _flags(run: Run) -> dict[str, Any]:
    """What every forward is asked to return."""
    if not run.config.return_dict_in_generate:
        return {}
    return {name: True for name in ("output_attentions", "output_hidden_states") if getattr(run.config, name)}


def make_drafter(run: Run) -> Drafter:
    """Who proposes tokens, by the settings: early exit, prompt lookup, a draft model of this or another tokenizer."""
    config, model = run.config, run.model
    if config.assistant_early_exit is not None:
        return DraftModel(run, early_exit(model, config.assistant_early_exit), _fresh(run, model))
    if config.prompt_lookup_num_tokens is not None:
        size = _NGRAM if config.max_matching_ngram_size is None else config.max_matching_ngram_size
        return PromptLookup(config.prompt_lookup_num_tokens, size)
    assistant = run.assistant_model
    tokenizer, other = run.extra.get("tokenizer"), run.extra.get("assistant_tokenizer")
    if other is not None:
        if tokenizer is None:
            raise ValueError("assistant_tokenizer needs tokenizer= too: texts go from one to the other.")
        if not same_vocabulary(tokenizer, other):
            return ForeignDraft(run, assistant, tokenizer, other)
    own, theirs = (m.config.get_text_config(decoder=True).vocab_size for m in (model, assistant))
    if own != theirs:
        raise ValueError(
            f"The assistant has a vocabulary of {theirs} tokens and the model one of {own}. With another tokenizer "
            "pass both: generate(..., tokenizer=tokenizer, assistant_tokenizer=the assistant's tokenizer)."
        )
    return DraftModel(run, assistant, _fresh(run, assistant))


def _fresh(run: Run, draft: Any) -> dict[str, Any]:
    """The inputs of a draft model besides the tokens: masks, the encoder's states, an empty cache."""
    given = run.model_kwargs
    kwargs: dict[str, Any] = {"use_cache": True, "past_key_values": draft.make_cache(run.config, 1, True)}
    for name in ("attention_mask", "decoder_attention_mask"):
        if given.get(name) is not None:
            kwargs[name] = given[name]
    if given.get("inputs_embeds") is not None and not run.is_encoder_decoder:
        if draft.config.get_text_config().hidden_size != given["inputs_embeds"].shape[-1]:
            raise ValueError("The assistant cannot read these inputs_embeds: give token ids (input_ids).")
        kwargs["inputs_embeds"] = given["inputs_embeds"]
    if not run.is_encoder_decoder:
        return kwargs
    kwargs["encoder_outputs"] = given["encoder_outputs"]
    own = getattr(draft, "config", None) is run.model.config
    if draft.config.is_encoder_decoder and not own and run.inputs_tensor is not None:
        name = getattr(draft.get_encoder(), "main_input_name", draft.main_input_name)
        if name == "input_ids" and run.inputs_tensor.is_floating_point():
            name = "inputs_embeds"
        kwargs["encoder_outputs"] = encode(
            draft, run.inputs_tensor, name, kwargs | {"encoder_outputs": None}, run.config
        )
    return kwargs


def _of_token(outputs: Any, place: int, proposed: int) -> Any:
    """The states and attentions of one token, as a forward for it alone would have returned them.

    The first of the last proposed + 1 tokens stands with all tokens before it, as in the forward of a prompt.
    """
    behind = proposed - place

    def cut(value: Any, attention: bool) -> Any:
        if value is None:
            return None
        kept = []
        for layer_BxTx in value:
            dim = layer_BxTx.ndim - 2
            end = layer_BxTx.shape[dim] - behind
            start = 0 if place == 0 else end - 1
            layer = layer_BxTx.narrow(dim, start, end - start)
            kept.append(layer.narrow(-1, 0, layer.shape[-1] - behind) if attention else layer)
        return tuple(kept)

    names = ("attentions", "decoder_attentions", "hidden_states", "decoder_hidden_states")
    found = {name: cut(outputs.get(name), "attentions" in name) for name in names}
    crossed = outputs.get("cross_attentions")
    found["cross_attentions"] = cut(crossed, False)
    return type(outputs)(**{name: value for name, value in found.items() if value is not None})
