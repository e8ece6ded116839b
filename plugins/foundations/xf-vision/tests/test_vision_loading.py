"""Loading images: every kind of source, and every kind of damage, with limits on what a stranger's file can cost."""

from __future__ import annotations

import base64
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from xf_vision import loading
from xf_vision.image_utils import load_image, load_images
from xf_vision.loading import is_url, url_host

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)


def png(pixels: np.ndarray = PIXELS) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
            return
        body = {"/image.png": png(), "/text": b"no image", "/empty": b"", "/large": b"\0" * 5000}.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XF_OFFLINE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_every_source_gives_the_same_rgb_image(tmp_path: Path, server: str) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png())
    encoded = base64.b64encode(png()).decode()
    sources = [str(path), path, png(), encoded, f"data:image/png;base64,{encoded}", f"{server}/image.png"]
    sources.append(PIL.Image.fromarray(PIXELS))
    for source in sources:
        image = load_image(source)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.array(image), PIXELS)


def test_lists_keep_their_nesting(tmp_path: Path) -> None:
    image = PIL.Image.fromarray(PIXELS)
    nested = load_images([[image], [image, image]])
    assert [len(group) for group in nested] == [1, 2]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # rotate by 270 degrees to show upright
    PIL.Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(np.array(load_image(tmp_path / "turned.png")), np.rot90(PIXELS, 3))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"this is text", "not an image"),
        (b"%PDF-1.7 ...", "not an image"),
        (png(NOISE)[:2000], "damaged or cut short"),
        (png()[:40], "damaged or cut short|not an image"),
        (png().replace(b"IDAT", b"IDAX"), "damaged|not an image"),
    ],
)
def test_bad_files_say_what_is_wrong_and_where(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        load_image(str(path))
    assert "photo.png" in str(caught.value)
    assert path.read_bytes() == content


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="too large to decode safely"):
        load_image(png())


@pytest.mark.parametrize("source", ["no/such/file.png", "", "a" * 5000, "\0", 3, None, {"a": 1}])
def test_sources_that_are_none(source: object) -> None:
    with pytest.raises(ValueError):
        load_image(source)


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder"):
        load_image(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://example.org/a.png", "example.org"),
        ("https://www.youtube.com@evil.example/x", "evil.example"),  # CVE-2025-3777
        ("HTTPS://Example.ORG", "example.org"),
        ("httpsx://example.org", None),
        ("http:/example.org", None),
        ("http://", None),
        ("file:///etc/passwd", None),
        ("ftp://example.org/a.png", None),
        ("http://[::1", None),
        ("httpfile.png", None),
    ],
)
def test_urls_are_recognised_by_scheme_and_host(text: str, host: str | None) -> None:
    assert url_host(text) == host
    assert is_url(text) is (host is not None)


@pytest.mark.parametrize(
    ("path", "said"), [("/missing", "404"), ("/text", "not an image"), ("/empty", "empty"), ("/large", "larger than")]
)
def test_bad_downloads(server: str, path: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading.download, "__kwdefaults__", {"timeout": None, "max_bytes": 4000})
    with pytest.raises(ValueError, match=said):
        load_image(server + path)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_a_server_cannot_send_us_to_another_protocol(server: str, target: str) -> None:
    with pytest.raises(ValueError, match="redirects to|not allowed"):
        load_image(f"{server}/to?{target}")


def test_a_redirect_to_http_is_followed(server: str) -> None:
    assert load_image(f"{server}/to?{server}/image.png").size == (6, 4)


@pytest.mark.parametrize("variable", ["XF_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_opens_no_connection(server: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("a connection was opened"))
    with pytest.raises(ValueError, match=variable):
        load_image(f"{server}/image.png")
