"""A tokenizer in pure Python as somebody outside would write it; the recording script runs it on the reference."""

from __future__ import annotations

import os
from typing import Any

WORDS = ["<unk>", "<pad>", "<s>", "</s>", "<mask>", "the", "hello", "world", "newtok", "brown", "a", "b", "quick"]
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDE.,!?'\u00e9\u4e2d"


def make_class(base: type) -> type:
    """The class on `PreTrainedTokenizer` of either library."""

    class Words(base):  # type: ignore[misc,valid-type]
        vocab_files_names = {"vocab_file": "words.txt"}

        def __init__(self, vocab_file: str | None = None, do_lower_case: bool = False, **kwargs: Any) -> None:
            self.do_lower_case = do_lower_case
            words = WORDS + list(CHARACTERS)
            if vocab_file is not None:
                with open(vocab_file, encoding="utf-8") as file:
                    words = file.read().split("\n")
            self.ids = {word: i for i, word in enumerate(dict.fromkeys(words))}
            self.words = {i: word for word, i in self.ids.items()}
            super().__init__(do_lower_case=do_lower_case, **kwargs)

        @property
        def vocab_size(self) -> int:
            return len(self.ids)

        def get_vocab(self) -> dict[str, int]:
            return {**self.ids, **self.added_tokens_encoder}

        def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
            return [piece for word in text.split() for piece in ([word] if word in self.ids else word)]

        def _convert_token_to_id(self, token: str) -> int:
            return self.ids.get(token, 0)

        def _convert_id_to_token(self, index: int) -> str:
            return self.words.get(index, "<unk>")

        def build_inputs_with_special_tokens(self, ids: list[int], more: list[int] | None = None) -> list[int]:
            return [2, *ids, 3] if more is None else [2, *ids, 3, 3, *more, 3]

        def get_special_tokens_mask(
            self, ids: list[int], more: list[int] | None = None, already_has_special_tokens: bool = False
        ) -> list[int]:
            if already_has_special_tokens:
                return super().get_special_tokens_mask(ids, more, True)  # type: ignore[no-any-return]
            mask = [1, *[0] * len(ids), 1]
            return mask if more is None else [*mask, 1, *[0] * len(more), 1]

        def create_token_type_ids_from_sequences(self, ids: list[int], more: list[int] | None = None) -> list[int]:
            return [0] * (len(ids) + 2) + ([] if more is None else [1] * (len(more) + 2))

        def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
            path = os.path.join(save_directory, (f"{filename_prefix}-" if filename_prefix else "") + "words.txt")
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(self.ids))
            return (path,)

        def prepare_for_tokenization(
            self, text: str, is_split_into_words: bool = False, **kwargs: Any
        ) -> tuple[str, dict[str, Any]]:
            return text + "!" * kwargs.pop("shout", False), kwargs

    return Words


def make_tokenizers(base: type, token: Any) -> dict[str, Any]:
    """Three of them, with every kind of added token."""
    words = make_class(base)
    special = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    special["mask_token"] = token("<mask>", lstrip=True)
    more = ["<sp>", token("<|lr|>", lstrip=True, rstrip=True)]
    made = {
        "plain": words(**special),
        "lower": words(do_lower_case=True, padding_side="left", truncation_side="left", **special),
        "clean": words(
            model_max_length=20, additional_special_tokens=more, clean_up_tokenization_spaces=True, **special
        ),
    }
    for tokenizer in made.values():
        tokenizer.add_tokens([
            "newtok", "NEWTOK", token("Single", single_word=True), token("<l>", lstrip=True),
            token("<r>", rstrip=True, normalized=False), "\u4e2d\u6587", "the",
        ])  # fmt: skip
        tokenizer.add_special_tokens({"cls_token": "[CLS]", "sep_token": "[SEP]"})
    return made


def describe(tokenizer: Any) -> dict[str, Any]:
    """What can be asked of a tokenizer without a text."""
    return {
        "size": len(tokenizer),
        "added": tokenizer.get_added_vocab(),
        "special": tokenizer.all_special_tokens,
        "map": tokenizer.special_tokens_map,
        "decoder": {str(index): repr(token) for index, token in tokenizer.added_tokens_decoder.items()},
        "shout": tokenizer("hello", shout=True)["input_ids"],
        "tokens": tokenizer.encode(["hello", "zz"]),
        "ids": tokenizer.encode([5, 6]),
        "mask": tokenizer.get_special_tokens_mask([1, 2, 9], already_has_special_tokens=True),
        "together": tokenizer.decode([5, 6, 0, 44, 45], spaces_between_special_tokens=False),
        "decoded": [
            tokenizer.decode([2, 6, 50, 44, 3, 46, 47, 5, 1], skip_special_tokens=skip) for skip in (False, True)
        ],
    }
