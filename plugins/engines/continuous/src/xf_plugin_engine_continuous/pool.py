"""PagePool: who holds which page of the cache. Bookkeeping alone, no tensors.

A page is free, held by requests (counted), or cached: nobody holds it, but its tokens are known, so that a prompt that
begins alike can take it up again. Cached pages are given away when free ones run out, the longest unused first.

Known prefixes form a tree: a full page is found by (number of the page before it, its tokens). Tokens are compared,
not hashes, so that a page is never taken for another. Pages of one request lie side by side where that is possible:
then its keys and values are read where they are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

ROOT = 0  # the number of "before the first page"
_USED, _FREE, _PLANNED = 0, 1, 2  # planned: free, but kept for somebody as long as others are left


class OutOfPages(Exception):
    """No page is free or cached."""


class PagePool:
    """`pages` pages of `page_size` tokens each."""

    def __init__(self, pages: int, page_size: int, share: bool = True) -> None:
        self.pages, self.page_size, self.share = pages, page_size, share
        self._states = bytearray([_FREE]) * pages  # searched for runs of equal bytes, which is fast
        self._free_count = pages
        self._holders = [0] * pages
        self._plans: dict[object, tuple[int, int]] = {}  # owner -> (first, end) of the pages kept for it
        self._cached: OrderedDict[int, None] = OrderedDict()
        self._index: dict[tuple[int, tuple[int, ...]], int] = {}
        self._keys: dict[int, tuple[int, tuple[int, ...]]] = {}  # page -> its key in the index
        self._numbers: dict[int, int] = {}  # page -> its number
        self._next_number = ROOT + 1

    @property
    def available(self) -> int:
        """Pages that can be taken: free and cached ones."""
        return self._free_count + len(self._cached)

    @property
    def cached(self) -> int:
        """Pages that nobody holds but whose tokens are known."""
        return len(self._cached)

    def needed(self, tokens: int) -> int:
        """Pages for so many tokens."""
        return -(-tokens // self.page_size)

    # ---- taking and giving back

    def take(self, owner: object, last: int | None = None) -> int:
        """A page for `owner`: the next that is kept for it, or the one behind page `last`, or any.

        Raises: OutOfPages.
        """
        first, end = self._plans.get(owner, (0, 0))
        while first < end and self._states[first] != _PLANNED:
            first += 1  # somebody in need has taken it
        behind = None if last is None else last + 1
        if first < end:
            page, self._plans[owner] = first, (first + 1, end)
        elif behind is not None and behind < self.pages and self._states[behind] == _FREE:
            page = behind
        else:
            page = self._any_page()
        self._states[page] = _USED
        self._free_count -= 1
        self._holders[page] = 1
        return page

    def plan(self, owner: object, count: int) -> None:
        """Keep `count` free pages side by side for `owner`, if there are so many.

        That binds nobody: others take such pages when no other is left.
        """
        self.unplan(owner)
        first = self._states.find(bytes([_FREE]) * count)
        if count and first >= 0:
            self._plans[owner] = (first, first + count)
            self._states[first : first + count] = bytes([_PLANNED]) * count

    def unplan(self, owner: object) -> None:
        """Keep nothing for `owner` any more."""
        for page in range(*self._plans.pop(owner, (0, 0))):
            if self._states[page] == _PLANNED:
                self._states[page] = _FREE

    def hold(self, page: int) -> None:
        """One more request holds `page`."""
        if self._holders[page] == 0:
            del self._cached[page]
        self._holders[page] += 1

    def give_back(self, pages: Sequence[int]) -> None:
        """A request lets go of its pages, first to last."""
        for page in reversed(pages):  # the end of a text is forgotten before what it follows from
            self._holders[page] -= 1
            if self._holders[page]:
                continue
            if page in self._keys:
                self._cached[page] = None
            else:
                self._release(page)

    def is_shared(self, page: int) -> bool:
        """Whether others hold the page too, or may find it: then it must not be written to."""
        return self._holders[page] > 1 or page in self._keys

    def _any_page(self) -> int:
        if self._free_count == 0:
            if not self._cached:
                raise OutOfPages
            oldest = next(iter(self._cached))
            del self._cached[oldest]
            self._forget(oldest)
            self._release(oldest)
        page = self._states.find(_FREE)
        return page if page >= 0 else self._states.find(_PLANNED)

    def _release(self, page: int) -> None:
        self._states[page] = _FREE
        self._free_count += 1

    def is_cached(self, page: int) -> bool:
        """Whether nobody holds the page."""
        return page in self._cached

    # ---- known prefixes

    def find(self, before: int, tokens: Sequence[int]) -> tuple[int, int] | None:
        """(page, its number) of the known page with these tokens that follows the page numbered `before`."""
        page = self._index.get((before, tuple(tokens))) if self.share else None
        return None if page is None else (page, self._numbers[page])

    def register(self, page: int, before: int, tokens: Sequence[int]) -> int:
        """Make a full page known; its number, or that of the page that already stands for these tokens."""
        key = (before, tuple(tokens))
        known = self._index.get(key)
        if known is not None:
            return self._numbers[known]
        number = self._next_number
        self._next_number += 1
        if self.share:
            self._index[key], self._keys[page], self._numbers[page] = page, key, number
        return number

    def _forget(self, page: int) -> None:
        del self._index[self._keys.pop(page)]
        del self._numbers[page]
