"""Post-processors: which special tokens stand around a text or a pair."""

from __future__ import annotations

from tokenizers import Tokenizer, processors


def template(tokenizer: Tokenizer, single: str, pair: str) -> processors.TemplateProcessing:
    """A post-processor from templates such as `[CLS]:0 $A:0 [SEP]:0`; the ids of the tokens are looked up.

    Args:
        tokenizer: has the tokens.
        single: for one text, `$A`. Parts are separated by spaces; `:1` gives a part the token type 1.
        pair: for two texts, `$A` and `$B`.

    Raises:
        ValueError: a token that the vocabulary lacks.
    """
    tokens = {_name(part) for part in f"{single} {pair}".split() if not part.startswith("$")}
    ids = {token: tokenizer.token_to_id(token) for token in sorted(tokens)}
    missing = [token for token, index in ids.items() if index is None]
    if missing:
        raise ValueError(f"the vocabulary has no {', '.join(missing)}, which the texts are to be surrounded with")
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=list(ids.items()))


def _name(part: str) -> str:
    token, _, kind = part.rpartition(":")
    return token if token and kind.isdigit() else part
