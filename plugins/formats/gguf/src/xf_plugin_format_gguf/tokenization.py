"""A tokenizer from the vocabulary in a GGUF file: byte-level BPE, SentencePiece BPE or Unigram, WordPiece.

Keys: docs/gguf.md, tokenizer.ggml.*. Imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from xf.logging import get_logger

from .pre_tokenizers import PRE_TOKENIZERS, PreTokenizer
from .reader import GGUFError

logger = get_logger(__name__)

# llama_token_type of llama.cpp
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPACE = "\u2581"
_ROLES = {
    "bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token",
    "seperator": "sep_token", "cls": "cls_token", "mask": "mask_token",
}  # fmt: skip  # "seperator" is the spelling of the format


class Vocabulary:
    """The tokenizer's part of the metadata, checked."""

    def __init__(self, metadata: Mapping[str, Any], where: str) -> None:
        self._metadata, self.where = metadata, where
        if "tokenizer.ggml.tokens" not in metadata:
            raise GGUFError(f"{where} holds no vocabulary: load the tokenizer from the model's original repository.")
        self.model = self.get("model")
        self.tokens: list[str] = self.list("tokens")
        self.types: list[int] = self.list("token_type") or [NORMAL] * len(self.tokens)
        self.scores: list[float] = self.list("scores")
        if len(self.types) != len(self.tokens) or self.scores and len(self.scores) != len(self.tokens):
            raise GGUFError(
                f"{where}: {len(self.tokens)} tokens, {len(self.types)} types and {len(self.scores)} scores do not fit."
            )

    def get(self, key: str, default: Any = None) -> Any:
        return self._metadata.get(f"tokenizer.ggml.{key}", default)

    def list(self, key: str) -> list[Any]:
        return list(self.get(key) or ())

    def special(self) -> dict[str, str]:
        """The tokens with a role: {"bos_token": "<s>", ...}."""
        found = {}
        for role, name in _ROLES.items():
            index = self.get(f"{role}_token_id")
            if index is None:
                continue
            if not 0 <= index < len(self.tokens):
                raise GGUFError(f"{self.where}: {role}_token_id is {index}, there are {len(self.tokens)} tokens.")
            found[name] = self.tokens[index]
        return found

    def of_type(self, *types: int) -> list[str]:
        return [token for token, kind in zip(self.tokens, self.types, strict=True) if kind in types]

    def index(self) -> dict[str, int]:
        """Token to id. Raises: GGUFError where a token is there twice."""
        index = {token: i for i, token in enumerate(self.tokens)}
        if len(index) != len(self.tokens):
            twice = next(t for i, t in enumerate(self.tokens) if index[t] != i)
            raise GGUFError(f"{self.where}: the token {twice!r} is in the vocabulary twice.")
        return index


def tokenizer_arguments(metadata: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Arguments of PreTrainedTokenizerFast from the metadata of a file; `where` names it in errors.

    Raises: GGUFError for a vocabulary that is damaged or of a kind that is not known.
    """
    vocabulary = Vocabulary(metadata, where)
    if vocabulary.model not in _BUILDERS:
        raise GGUFError(
            f"{where}: tokenizer model {vocabulary.model!r} is not known, only {', '.join(_BUILDERS)}; load the "
            "tokenizer from the model's original repository."
        )
    special = vocabulary.special()
    tokenizer, add_bos, add_eos = _BUILDERS[vocabulary.model](vocabulary)
    _add_tokens(tokenizer, vocabulary)
    add_bos, add_eos = vocabulary.get("add_bos_token", add_bos), vocabulary.get("add_eos_token", add_eos)
    if vocabulary.model != "bert":
        _add_template(tokenizer, special, add_bos, add_eos)
    arguments: dict[str, Any] = {"tokenizer_object": tokenizer, "own_tokenizer_object": True, **special}
    if vocabulary.model != "bert":  # decoders know no token types
        arguments["model_input_names"] = ["input_ids", "attention_mask"]
    template = _chat_template(metadata)
    if template is not None:
        arguments["chat_template"] = template
    return arguments


def _chat_template(metadata: Mapping[str, Any]) -> str | dict[str, str] | None:
    """The template; a dict by name where there are several."""
    names = list(metadata.get("tokenizer.chat_templates") or ())
    default = metadata.get("tokenizer.chat_template")
    named = {name: metadata.get(f"tokenizer.chat_template.{name}") for name in names}
    templates = {"default": default, **named} if default else named
    templates = {name: text for name, text in templates.items() if isinstance(text, str)}
    return default if len(templates) <= 1 else templates


def _add_tokens(tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
    """Control tokens are special, user-defined ones are found in the raw text before anything else."""
    added = [
        AddedToken(token, normalized=False, special=kind != USER_DEFINED)
        for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True)
        if token and kind in (CONTROL, USER_DEFINED, UNKNOWN)
    ]
    tokenizer.add_tokens(added)


def _add_template(tokenizer: Tokenizer, special: Mapping[str, str], add_bos: bool, add_eos: bool) -> None:
    """BOS before and EOS after each text, as the file says."""
    before = special.get("bos_token") if add_bos else None
    after = special.get("eos_token") if add_eos else None
    used = [(t, tokenizer.token_to_id(t)) for t in {before, after} if t is not None]
    if not used:
        return
    first = [part for part in (before and f"{before}:0", "$A:0", after and f"{after}:0") if part]
    second = [part for part in (before and f"{before}:1", "$B:1", after and f"{after}:1") if part]
    template = processors.TemplateProcessing(single=first, pair=first + second, special_tokens=used)
    byte_level = tokenizer.post_processor
    tokenizer.post_processor = processors.Sequence([byte_level, template]) if byte_level else template


# ---- the kinds of vocabulary; each returns the tokenizer and whether BOS and EOS are added by default


def _byte_level_bpe(vocabulary: Vocabulary) -> tuple[Tokenizer, bool, bool]:
    merges = [_pair(merge, vocabulary) for merge in vocabulary.list("merges")]
    pre = _pre_tokenizer(vocabulary)
    index = vocabulary.index()
    _check_merges(merges, index, vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=index, merges=merges, ignore_merges=pre.ignore_merges))
    splits: list[Any] = [pre_tokenizers.Split(Regex(e), behavior="isolated") for e in pre.expressions]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer, pre.add_bos, False


def _pre_tokenizer(vocabulary: Vocabulary) -> PreTokenizer:
    name = vocabulary.get("pre")
    if name is None:
        logger.warning(
            f"{vocabulary.where} does not say how text is split before BPE (tokenizer.ggml.pre); the default is used. "
            "Old files lack it: convert the model anew if tokens come out differently."
        )
        name = "default"
    if name not in PRE_TOKENIZERS:
        raise GGUFError(
            f"{vocabulary.where}: pre-tokenizer {name!r} is not known, so its tokens would come out wrong; load the "
            f"tokenizer from the model's original repository. Known: {', '.join(sorted(PRE_TOKENIZERS))}."
        )
    return PRE_TOKENIZERS[name]


def _pair(merge: str, vocabulary: Vocabulary) -> tuple[str, str]:
    """The two halves of a merge. A half may itself hold a space after its first character."""
    left, space, right = merge[:1], merge[1:].find(" ") + 1, ""
    if space > 0:
        left, right = merge[:space], merge[space + 1 :]
    if not left or not right:
        raise GGUFError(f"{vocabulary.where}: {merge!r} is no merge of two tokens.")
    return left, right


def _check_merges(merges: list[tuple[str, str]], index: Mapping[str, int], vocabulary: Vocabulary) -> None:
    for left, right in merges:
        if left + right not in index or left not in index or right not in index:
            raise GGUFError(f"{vocabulary.where}: the merge {left!r} + {right!r} needs tokens that are not there.")


def _sentencepiece_bpe(vocabulary: Vocabulary) -> tuple[Tokenizer, bool, bool]:
    """SentencePiece's BPE: pieces join by score, so merges are all ways to make a piece of two, best score first."""
    if not vocabulary.scores:
        raise GGUFError(f"{vocabulary.where}: a llama vocabulary needs scores.")
    tokens = vocabulary.tokens = [
        token.replace(SPACE, " ") if kind == USER_DEFINED else token
        for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True)
    ]
    index = vocabulary.index()
    unknown = next(iter(vocabulary.of_type(UNKNOWN)), None) or vocabulary.special().get("unk_token")
    merges = merges_from_scores(tokens, vocabulary.types, vocabulary.scores, index)
    model = models.BPE(vocab=index, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    prefix = bool(vocabulary.get("add_space_prefix", True))
    _sentencepiece_surroundings(tokenizer, prefix)
    return tokenizer, True, False


def merges_from_scores(
    tokens: list[str], types: list[int], scores: list[float], index: Mapping[str, int]
) -> list[tuple[str, str]]:
    """Every split of every normal piece into two pieces, by falling score of the whole, then by the parts' ids."""
    usable = {token: i for token, i in index.items() if types[i] == NORMAL}
    found: list[tuple[float, int, int, int]] = []
    for token, i in usable.items():
        for cut in range(1, len(token)):
            left = usable.get(token[:cut])
            if left is not None:
                right = usable.get(token[cut:])
                if right is not None:
                    found.append((-scores[i], i, left, right))
    found.sort()
    return [(tokens[left], tokens[right]) for _, _, left, right in found]


def _sentencepiece_surroundings(tokenizer: Tokenizer, prefix: bool) -> None:
    """Spaces as a visible character, one in front of text where the model was trained so."""
    replace = normalizers.Replace(" ", SPACE)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace]) if prefix else replace
    parts: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if prefix else parts)


def _unigram(vocabulary: Vocabulary) -> tuple[Tokenizer, bool, bool]:
    """SentencePiece's Unigram (T5)."""
    unknown = vocabulary.get("unknown_token_id")
    if not vocabulary.scores or unknown is None:
        raise GGUFError(f"{vocabulary.where}: a t5 vocabulary needs scores and an unknown token.")
    fallback = BYTE in vocabulary.types
    pieces = list(zip(vocabulary.tokens, vocabulary.scores, strict=True))
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=fallback))
    charsmap = bytes(vocabulary.list("precompiled_charsmap"))
    prefix = "always" if vocabulary.get("add_space_prefix", True) else "never"
    before: list[Any] = [normalizers.Precompiled(charsmap)] if charsmap else []
    if vocabulary.get("remove_extra_whitespaces", False):
        before += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(before)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prefix)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=prefix)
    return tokenizer, False, True


def _wordpiece(vocabulary: Vocabulary) -> tuple[Tokenizer, bool, bool]:
    """BERT's WordPiece; the file marks the beginnings of words, the tokenizer what continues one."""
    special = vocabulary.special()
    vocabulary.tokens = tokens = [_continuing(token) for token in vocabulary.tokens]
    index = vocabulary.index()
    unknown = special.setdefault("unk_token", "[UNK]")
    tokenizer = Tokenizer(models.WordPiece(vocab=index, unk_token=unknown))
    cased = any(token != token.lower() for token in tokens if not token.startswith("["))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not cased)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    cls, sep = (special.get(k) or v for k, v in (("cls_token", "[CLS]"), ("sep_token", "[SEP]")))
    tokenizer.post_processor = processors.BertProcessing((sep, index[sep]), (cls, index[cls]))
    return tokenizer, False, False


def _continuing(token: str) -> str:
    if token.startswith("[") and token.endswith("]"):
        return token
    return token.removeprefix(SPACE) if token.startswith(SPACE) else f"##{token}"


_BUILDERS = {"gpt2": _byte_level_bpe, "llama": _sentencepiece_bpe, "t5": _unigram, "bert": _wordpiece}
