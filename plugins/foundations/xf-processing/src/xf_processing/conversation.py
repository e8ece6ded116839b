"""`apply_chat_template` of processors: conversations whose messages hold images, videos and audio."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xf_tokenizers.tokenizer import PreTrainedTokenizerBase

#: The keys of a content part under which the thing itself or its place is given.
_SOURCES = {
    "image": ("image", "url", "path", "base64"),
    "video": ("video", "url", "path"),
    "audio": ("audio", "url", "path"),
}
#: Arguments of apply_chat_template that only the template reads.
_TEMPLATE_ARGUMENTS = (
    "tools",
    "documents",
    "add_generation_prompt",
    "continue_final_message",
    "return_assistant_tokens_mask",
)


class ConversationMixin:
    """`apply_chat_template` for processors."""

    chat_template: str | dict[str, str] | None
    tokenizer: PreTrainedTokenizerBase

    def apply_chat_template(self, conversation: Any, chat_template: str | None = None, **kwargs: Any) -> Any:
        """Turn a conversation or several, with media, into text, and with `tokenize=True` into model inputs.

        Args:
            conversation: messages whose content is a text or a list of parts: `{"type": "text", "text": ...}`,
                `{"type": "image", "url" | "path" | "image" | "base64": ...}`, and the same for video and audio.
            chat_template: the name of one of the processor's templates, or a template.
            kwargs: `tools`, `documents`, `add_generation_prompt`, `continue_final_message` as for a tokenizer;
                `tokenize` (False by default) and `return_dict` (False: ids alone); `return_assistant_tokens_mask`;
                `sampling_rate`, `load_audio_from_video` for audio; `num_frames`, `fps`, `video_load_backend` for
                video; everything else goes to the template and, with `tokenize`, to the processor.

        Raises:
            ValueError: no template, a template that fails, or arguments that contradict each other.
        """
        from xf_tokenizers.chat_template import chat_engine, choose_chat_template

        template = choose_chat_template(self.chat_template, chat_template, None, "processor")
        tokenize, return_dict = kwargs.pop("tokenize", False), kwargs.pop("return_dict", False)
        own = {name: kwargs.pop(name) for name in _TEMPLATE_ARGUMENTS if name in kwargs}
        mask = own.get("return_assistant_tokens_mask", False)
        if mask and not (tokenize and return_dict):
            raise ValueError("return_assistant_tokens_mask=True needs tokenize=True and return_dict=True")
        audio_of_video = kwargs.pop("load_audio_from_video", False)
        engine = chat_engine()
        conversations, batched = engine.as_batch(conversation)
        variables = {**self.tokenizer.special_tokens_map, **kwargs} if hasattr(self, "tokenizer") else kwargs
        texts, spans = engine.render(conversations, chat_template=template, **own, **variables)
        if not tokenize:
            return texts if batched else texts[0]
        bos = getattr(getattr(self, "tokenizer", None), "bos_token", None)
        if bos is not None and texts[0].startswith(bos):
            kwargs.setdefault("add_special_tokens", False)  # the template wrote them
        sampling: dict[str, Any] = {name: kwargs.pop(name) for name in ("num_frames", "fps") if name in kwargs}
        if "video_load_backend" in kwargs:
            sampling["backend"] = kwargs.pop("video_load_backend")
        media = self._media(conversations, kwargs.get("sampling_rate"), audio_of_video, sampling)
        inputs = self(text=texts if batched else texts[0], **media, **kwargs)  # type: ignore[operator]
        if mask:
            inputs["assistant_masks"] = self._assistant_masks(texts, spans, inputs, kwargs)
            inputs.convert_to_tensors(kwargs.get("return_tensors"))
        return inputs if return_dict else inputs["input_ids"]

    def _media(
        self, conversations: list[Any], sampling_rate: int | None, audio_of_video: bool, sampling: dict[str, Any]
    ) -> dict[str, Any]:
        """The images, videos and audio of the conversations: a list for each; a kind that none has is left out."""
        images = [
            [_load("image_utils", "load_image", item) for item in _parts(talk, "image")] for talk in conversations
        ]
        loaded = [
            [_load("video_utils", "load_video", item, **sampling) for item in _parts(talk, "video")]
            for talk in conversations
        ]
        heard = ("audio", "video") if audio_of_video else ("audio",)
        if sampling_rate is None:
            sampling_rate = getattr(getattr(self, "feature_extractor", None), "sampling_rate", 16_000)
        audio = [
            _load("audio_utils", "load_audio", item, sampling_rate=sampling_rate)
            for talk in conversations
            for kind in heard
            for item in _parts(talk, kind)
        ]
        media: dict[str, Any] = {}
        if any(images):
            media["images"] = images
        if any(loaded):
            media["videos"] = [[frames for frames, _ in videos] for videos in loaded]
            media["video_metadata"] = [metadata for videos in loaded for _, metadata in videos]
        if audio:
            media["audio"] = audio
        return media

    def _assistant_masks(
        self, texts: list[str], spans: list[list[tuple[int, int]]], inputs: Any, kwargs: dict[str, Any]
    ) -> list[list[int]]:
        """1 for the tokens that the assistant wrote, also where the processor made placeholders longer."""
        from xf_tokenizers.chat_template import chat_engine

        engine = chat_engine()
        special = kwargs.get("add_special_tokens", True)
        plain = self.tokenizer(texts, add_special_tokens=special)
        names = [f"{kind}_token_id" for kind in _SOURCES]
        placeholders = {getattr(self, name, getattr(self.tokenizer, name, None)) for name in names} - {None}
        masks = []
        for row, written in enumerate(spans):
            short = list(plain["input_ids"][row])
            mask = engine.assistant_mask(plain, row, len(short), written)
            ids = [int(token) for token in inputs["input_ids"][row]]
            kept = [True] * len(ids)
            if "attention_mask" in inputs:
                kept = [bool(value) for value in inputs["attention_mask"][row]]
            long = [token for token, keep in zip(ids, kept, strict=True) if keep]
            stretched = iter(stretch_mask(short, mask, long, placeholders))
            masks.append([next(stretched) if keep else 0 for keep in kept])
        return masks


def stretch_mask(short: Sequence[int], mask: Sequence[int], long: Sequence[int], placeholders: set[Any]) -> list[int]:
    """The mask of `short` for `long`, which is `short` with each placeholder replaced by any run of tokens.

    Raises:
        ValueError: `long` is no such sequence, for example because it was truncated.
    """
    result: list[int] = []
    start = 0
    cuts = [i for i, token in enumerate(short) if token in placeholders] + [len(short)]
    for number, cut in enumerate(cuts):
        piece, piece_mask = list(short[start:cut]), list(mask[start:cut])
        at = len(result)
        if cut == len(short):
            at = max(at, len(long) - len(piece))  # the last piece ends the sequence
        elif number:
            at = next((i for i in range(at + 1, len(long)) if list(long[i : i + len(piece)]) == piece), -1)
        if at < 0 or list(long[at : at + len(piece)]) != piece:
            raise ValueError(
                "the assistant's tokens cannot be told apart: beside its placeholders the processor changed the text, "
                "or truncated it"
            )
        result += [0] * (at - len(result)) + piece_mask
        start = cut + 1
    return result


def _parts(conversation: Any, kind: str) -> list[Any]:
    """The media of one kind in a conversation, or where they are."""
    messages = getattr(conversation, "messages", conversation)
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if isinstance(content, (list, tuple)) for part in content]
    found = []
    for part in parts:
        if isinstance(part, dict) and part.get("type") == kind:
            item = next((part[key] for key in _SOURCES[kind] if part.get(key) is not None), None)
            if item is not None:
                found.append(item)
    return found


def _load(module: str, function: str, item: Any, **options: Any) -> Any:
    """Load with the foundation for the kind of medium, which need not be here where there is none of that kind."""
    return getattr(importlib.import_module(f"xf.{module}"), function)(item, **options)
