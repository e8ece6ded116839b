"""Blenderbot's tokenizer on the `tokenizers` library (arXiv:2004.13637)."""

from __future__ import annotations

from xf_tokenizers.byte_level_families import RobertaTokenizerFast


class BlenderbotTokenizerFast(RobertaTokenizerFast):
    """RoBERTa's vocabulary, and text </s>; of two texts only the first is closed when it stands alone."""

    single = "$A:0 {eos_token}:0"
    pair = "$A:0 $B:1"

    def finish(self, made: bool) -> None:
        if made:
            self._tokenizer.post_processor = self.around(self.single, self.pair)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """A </s>; a second text is left out, since a conversation is one text."""
        return [*token_ids_0, self.eos_token_id]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Zeros, for the layout of RoBERTa."""
        extra = 2 if token_ids_1 is None else 4 + len(token_ids_1)
        return [0] * (len(token_ids_0) + extra)


class BlenderbotTokenizer(BlenderbotTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
