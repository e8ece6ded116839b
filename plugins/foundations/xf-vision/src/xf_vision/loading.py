"""Reading images from a path, a URL, base64 text or bytes, with limits on what an untrusted source can cost.

A URL is recognised by its parsed scheme and host, never by how the text begins (CVE-2025-3777).
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageOps

from xf.hub import is_offline

# Seconds that a server may be silent before a download is given up, where the caller says nothing.
DEFAULT_TIMEOUT = 60.0
# Bytes of one downloaded or decoded file: far above any photograph, far below what would exhaust a server.
MAX_IMAGE_BYTES = 256 * 1024 * 1024
MAX_VIDEO_BYTES = 4 * 1024 * 1024 * 1024


def is_url(text: object) -> bool:
    """Whether `text` is an http(s) URL with a host."""
    return isinstance(text, str) and url_host(text) is not None


def url_host(text: str) -> str | None:
    """The lower-case host of an http(s) URL, without user name and port; None if `text` is no such URL."""
    try:
        parts = urllib.parse.urlsplit(text.strip())
        return parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:  # e.g. an unclosed IPv6 bracket
        return None


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https alone: a server must not send us to ftp or to another handler."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if url_host(newurl) is None:
            raise ValueError(f"{req.full_url} redirects to {newurl!r}, which is no http(s) address; refused.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, *, timeout: float | None = None, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
    """Fetch a URL into memory.

    `timeout` is in seconds of silence (default 60). ValueError if the network is switched off, the server fails, or
    the answer is larger than `max_bytes`.
    """
    if url_host(url) is None:
        raise ValueError(f"{url!r} is not an http(s) address.")
    if is_offline():
        raise ValueError(f"Cannot fetch {url}: XF_OFFLINE or HF_HUB_OFFLINE is set. Pass a local file instead.")
    opener = urllib.request.build_opener(_HttpOnly)
    request = urllib.request.Request(url.strip(), headers={"User-Agent": "xf-vision"})
    try:
        with opener.open(request, timeout=DEFAULT_TIMEOUT if timeout is None else timeout) as response:
            data: bytes = response.read(max_bytes + 1)
    except (urllib.error.URLError, OSError) as error:
        raise ValueError(f"Cannot fetch {url}: {error}") from error
    if len(data) > max_bytes:
        raise ValueError(f"{url} is larger than the limit of {max_bytes} bytes.")
    return data


def decode_image(source: bytes | Path, name: str) -> PIL.Image.Image:
    """Decode an image file wholly; ValueError says what is wrong with it: empty, no image, cut short or too large."""
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size == 0:
        raise ValueError(f"{name} is empty (0 bytes); an image file was expected.")
    try:
        image = PIL.Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        image.load()
    except PIL.UnidentifiedImageError as error:
        raise ValueError(
            f"{name} is not an image that Pillow can read. Supported are PNG, JPEG, WebP, GIF, TIFF, BMP and others."
        ) from error
    except PIL.Image.DecompressionBombError as error:  # over twice PIL.Image.MAX_IMAGE_PIXELS; below that Pillow warns
        raise ValueError(
            f"{name} is too large to decode safely: {error} If you trust it, raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        raise ValueError(f"{name} is damaged or cut short: {error}") from error
    return image


def _decode_base64(text: str) -> bytes:
    payload = text.partition(",")[2] if text.startswith("data:") else text
    if len(payload) > MAX_IMAGE_BYTES * 4 // 3:
        raise ValueError(f"The base64 text is longer than {MAX_IMAGE_BYTES} bytes of image.")
    shown = text if len(text) <= 80 else text[:77] + "..."
    if not payload.strip():
        raise ValueError(f"No such file, and not an image in base64 either: {shown!r}.")
    try:
        return base64.b64decode("".join(payload.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(
            f"Not an image: {shown!r} is no existing file, no http(s) address and no base64 text ({error})."
        ) from error


def load_image(image: Any, timeout: float | None = None) -> PIL.Image.Image:
    """An RGB image, turned upright as its EXIF orientation says.

    `image`: a path, an http(s) URL, base64 text (also as a data: URL), encoded bytes, or a PIL image. `timeout`:
    seconds of silence allowed when fetching a URL. ValueError for a source that is missing, empty, damaged, too
    large or no image.
    """
    if isinstance(image, os.PathLike):
        image = os.fspath(image)
    if isinstance(image, str):
        image = _load_text(image, timeout)
    elif isinstance(image, bytes):
        image = decode_image(image, "The image data")
    elif not isinstance(image, PIL.Image.Image):
        raise ValueError(
            f"Cannot load an image from {type(image).__name__}. Pass a path, an http(s) URL, base64 text, bytes or a "
            "PIL image."
        )
    try:
        return PIL.ImageOps.exif_transpose(image).convert("RGB")
    except OSError as error:  # a PIL image is read lazily: damage may show only here
        raise ValueError(f"The image is damaged or cut short: {error}") from error


def _load_text(text: str, timeout: float | None) -> PIL.Image.Image:
    if is_url(text):
        return decode_image(download(text, timeout=timeout), text)
    try:
        exists, is_folder = os.path.isfile(text), os.path.isdir(text)
    except (OSError, ValueError):  # base64 text longer than a file name may be, or with a zero byte
        exists, is_folder = False, False
    if is_folder:
        raise ValueError(f"{text} is a folder; an image file was expected.")
    if exists:
        return decode_image(Path(text), text)
    return decode_image(_decode_base64(text), "The base64 text")


def load_images(images: Any, timeout: float | None = None) -> Any:
    """`load_image` over a single source, a list, or a list of lists, keeping the nesting."""
    if isinstance(images, (list, tuple)):
        return [load_images(image, timeout=timeout) for image in images]
    return load_image(images, timeout=timeout)
