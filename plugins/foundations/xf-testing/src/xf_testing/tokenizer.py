"""What every tokenizer must do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from .base import Conformance
from .network import no_network

TEXTS = ("hello world", "Hello, world!  How are you?", "caf\u00e9 \u4f60\u597d 123", "a", "")


class TokenizerConformance(Conformance):
    """Subclass, set `name` (the model_type) and return a small tokenizer from `make_tokenizer`.

    Flags: is_lossless (decoding gives the text back), has_padding. texts: what to encode; they must be coverable.
    """

    contract: ClassVar[str] = "tokenizer"
    name: ClassVar[str] = ""
    texts: ClassVar[tuple[str, ...]] = TEXTS
    is_lossless: ClassVar[bool] = False
    has_padding: ClassVar[bool] = True

    def make_tokenizer(self) -> Any:
        """A tokenizer with a small vocabulary."""
        raise NotImplementedError(f"write a TokenizerConformance for {self.name} with make_tokenizer")

    def test_saved_and_loaded_it_is_the_same(self, tmp_path: Path) -> None:
        tokenizer = self.make_tokenizer()
        tokenizer.save_pretrained(tmp_path)
        again = type(tokenizer).from_pretrained(tmp_path)
        assert again.get_vocab() == tokenizer.get_vocab()
        assert again.special_tokens_map == tokenizer.special_tokens_map
        for text in self.texts:
            assert dict(again(text)) == dict(tokenizer(text))

    def test_no_socket_is_opened(self, tmp_path: Path) -> None:
        tokenizer = self.make_tokenizer()
        tokenizer.save_pretrained(tmp_path)
        with no_network():
            type(tokenizer).from_pretrained(tmp_path)(self.texts[0])

    def test_a_batch_is_its_rows(self) -> None:
        tokenizer = self.make_tokenizer()
        batch = tokenizer(list(self.texts))
        for row, text in enumerate(self.texts):
            assert {name: batch[name][row] for name in batch} == dict(tokenizer(text))

    def test_decoding(self) -> None:
        tokenizer = self.make_tokenizer()
        for text in self.texts:
            decoded = tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)
            assert isinstance(decoded, str)
            if self.is_lossless:
                assert decoded == text

    def test_ids_and_tokens_are_inverse(self) -> None:
        tokenizer = self.make_tokenizer()
        for token, index in list(tokenizer.get_vocab().items())[:200]:
            assert tokenizer.convert_tokens_to_ids(token) == index
            assert tokenizer.convert_ids_to_tokens(index) == token

    @pytest.mark.parametrize("side", ["right", "left"])
    def test_padding(self, side: str) -> None:
        tokenizer = self.make_tokenizer()
        if not self.has_padding:
            with pytest.raises(ValueError):
                tokenizer(["a", "a a a"], padding=True)
            return
        batch = tokenizer(list(self.texts), padding=True, padding_side=side)
        width = len(batch["input_ids"][0])
        for row, text in enumerate(self.texts):
            ids, mask = batch["input_ids"][row], batch["attention_mask"][row]
            assert len(ids) == len(mask) == width
            real = [i for i, m in zip(ids, mask, strict=True) if m]
            assert real == tokenizer(text)["input_ids"]
            fill = ids[sum(mask) :] if side == "right" else ids[: width - sum(mask)]
            assert set(fill) <= {tokenizer.pad_token_id}

    def test_truncation(self) -> None:
        tokenizer, text = self.make_tokenizer(), max(self.texts, key=len)
        whole = tokenizer(text, add_special_tokens=False)["input_ids"]
        for limit in range(1, len(whole)):
            cut = tokenizer(text, add_special_tokens=False, truncation=True, max_length=limit)["input_ids"]
            assert cut == whole[:limit]

    def test_calls_leave_nothing_behind(self) -> None:
        tokenizer, text = self.make_tokenizer(), max(self.texts, key=len)
        before = dict(tokenizer(text))
        tokenizer([text, "a"], truncation=True, max_length=2, padding="max_length" if self.has_padding else False)
        assert dict(tokenizer(text)) == before

    def test_threads_with_different_settings_do_not_mix(self) -> None:
        tokenizer, text = self.make_tokenizer(), max(self.texts, key=len)
        whole = len(tokenizer(text, add_special_tokens=False)["input_ids"])

        def length(limit: int) -> int:
            return len(tokenizer(text, add_special_tokens=False, truncation=True, max_length=limit)["input_ids"])

        limits = [1 + i % 7 for i in range(400)]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(length, limits)) == [min(limit, whole) for limit in limits]

    def test_special_tokens_are_not_split(self) -> None:
        tokenizer = self.make_tokenizer()
        for token in tokenizer.all_special_tokens:
            assert tokenizer.convert_tokens_to_ids(token) in tokenizer(token, add_special_tokens=False)["input_ids"]

    def test_added_tokens_survive_saving(self, tmp_path: Path) -> None:
        tokenizer = self.make_tokenizer()
        assert tokenizer.add_tokens(["<added>"]) == 1
        tokenizer.save_pretrained(tmp_path)
        again = type(tokenizer).from_pretrained(tmp_path)
        index = tokenizer.convert_tokens_to_ids("<added>")
        assert again.convert_tokens_to_ids("<added>") == index
        assert index in again("a<added>a")["input_ids"]

    def test_what_is_no_text_is_refused(self) -> None:
        for wrong in (3, [3.5], None):
            with pytest.raises((ValueError, TypeError)):
                self.make_tokenizer()(wrong)
