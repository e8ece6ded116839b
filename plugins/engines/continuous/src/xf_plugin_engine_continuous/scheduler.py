"""Scheduler: which requests take part in the next step, with how many tokens, on which pages.

Requests that generate go first, one token each; what is left of the step goes to prompts, in the order of arrival. When
pages run out, the request that came last gives its pages back and waits: it is computed again later, from its tokens.
The first to come never gives way, and no request is taken that needs more than the whole pool; so all come to an end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .cache import PagedCache
from .pool import ROOT, OutOfPages, PagePool
from .requests import Request, RequestStatus


@dataclass
class Part:
    """The tokens start ... end - 1 of a request, to be computed in the next step."""

    request: Request
    start: int
    end: int

    @property
    def is_last(self) -> bool:
        """Whether its last token is the text's, so that the next one can be chosen."""
        return self.end == len(self.request.tokens)


class Scheduler:
    """Holds all requests that are not over. `running`: in the order of arrival."""

    def __init__(self, pool: PagePool, cache: PagedCache, step_tokens: int, most_requests: int) -> None:
        self.pool, self.cache = pool, cache
        self.step_tokens, self.most_requests = step_tokens, most_requests
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self.preemptions = 0
        self.shared_tokens = 0  # tokens of prompts whose pages were found

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.waiting and not self.running

    def plan(self) -> list[Part]:
        """The next step. Pages for its tokens are taken."""
        parts: list[Part] = []
        left = self.step_tokens
        for request in list(self.running):
            if request.status is RequestStatus.DECODING and request in self.running:
                if self._make_room(request, len(request.tokens), parts):
                    parts.append(Part(request, request.computed, len(request.tokens)))
                    left -= 1
        for request in list(self.running):
            if request.status is RequestStatus.PREFILLING and left > 0 and request in self.running:
                left -= self._add_prefill(request, left, parts)
        while left > 0 and self.waiting and len(self.running) < self.most_requests and self._admit(self.waiting[0]):
            used = self._add_prefill(self.running[-1], left, parts)
            assert used, "a request is admitted only if there is room for it"
            left -= used
        return parts

    def leave(self, request: Request) -> None:
        """The request is over: its pages are given back."""
        if request in self.running:
            self.running.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)
        self._give_back(request)

    def computed(self, part: Part) -> None:
        """The step was run: the part's keys and values are there; full pages become known."""
        request, size = part.request, self.pool.page_size
        request.computed = part.end
        while (len(request.nodes) + 1) * size <= request.computed:
            at = len(request.nodes)
            before = request.nodes[-1] if request.nodes else ROOT
            tokens = request.tokens[at * size : (at + 1) * size]
            request.nodes.append(self.pool.register(request.pages[at], before, tokens))

    # ---- steps of the plan

    def _add_prefill(self, request: Request, left: int, parts: list[Part]) -> int:
        end = min(len(request.tokens), request.computed + left)
        if not self._make_room(request, end, parts):
            return 0
        parts.append(Part(request, request.computed, end))
        return end - request.computed

    def _admit(self, request: Request) -> bool:
        """Take up the first of the waiting if there is room for its text, and for a token more of each that runs."""
        pages, nodes = self._known_prefix(request)
        revived = sum(self.pool.is_cached(page) for page in pages)
        if len(pages) * self.pool.page_size == len(request.tokens) and self.pool.available == revived:
            pages.pop(), nodes.pop()  # no room for a copy of the last page: it is computed again
            revived -= 1
        fresh = self.pool.needed(len(request.tokens) + 1) - len(pages)
        if self.running and self.pool.available - revived < fresh + len(self.running):
            return False
        self.waiting.popleft()
        self.running.append(request)
        request.status = RequestStatus.PREFILLING
        for page in pages:
            self.pool.hold(page)
        request.pages, request.nodes = pages, nodes
        # at least one token is computed, for its logits; if that lies in a known page, the page is copied
        request.computed = min(len(pages) * self.pool.page_size, len(request.tokens) - 1)
        self.shared_tokens += request.computed
        request.contiguous = all(b == a + 1 for a, b in zip(pages, pages[1:], strict=False))
        if request.computed < len(pages) * self.pool.page_size:
            request.nodes = nodes[:-1]
        if not pages:
            self.pool.plan(request, self.pool.needed(request.most_tokens))
        return True

    def _known_prefix(self, request: Request) -> tuple[list[int], list[int]]:
        size, before = self.pool.page_size, ROOT
        pages: list[int] = []
        nodes: list[int] = []
        for at in range(0, len(request.tokens) - size + 1, size):
            found = self.pool.find(before, request.tokens[at : at + size])
            if found is None:
                break
            pages.append(found[0])
            before = found[1]
            nodes.append(before)
        return pages, nodes

    def _make_room(self, request: Request, tokens: int, parts: list[Part]) -> bool:
        """Pages for the first `tokens` tokens; False if the request itself had to give way."""
        while True:
            try:
                self._own_written_page(request)
                while len(request.pages) < self.pool.needed(tokens):
                    self._extend(request)
                return True
            except OutOfPages:
                last = self.running[-1]
                parts[:] = [part for part in parts if part.request is not last]
                self._preempt(last)
                if last is request:
                    return False

    def _own_written_page(self, request: Request) -> None:
        """Copy on write: the page that the next token goes to must be the request's alone."""
        at = request.computed // self.pool.page_size
        if at < len(request.pages) and self.pool.is_shared(request.pages[at]):
            shared = request.pages[at]
            own = self.pool.take(request, request.pages[at - 1] if at else None)
            self.cache.copy_page(shared, own)
            request.pages[at] = own
            self.pool.give_back([shared])
            request.contiguous = all(b == a + 1 for a, b in zip(request.pages, request.pages[1:], strict=False))

    def _extend(self, request: Request) -> None:
        last = request.pages[-1] if request.pages else None
        page = self.pool.take(request, last)
        request.contiguous = request.contiguous and last in (None, page - 1)
        request.pages.append(page)

    def _preempt(self, request: Request) -> None:
        self.preemptions += 1
        self.running.remove(request)
        self._give_back(request)
        request.status = RequestStatus.PENDING
        self.waiting.appendleft(request)

    def _give_back(self, request: Request) -> None:
        self.pool.unplan(request)
        self.pool.give_back(request.pages)
        request.pages, request.nodes, request.computed, request.contiguous = [], [], 0, True
