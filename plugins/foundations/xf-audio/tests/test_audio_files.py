"""Sound from files, bytes and addresses; bad input is named and refused."""

import http.server
import io
import os
import stat
import sys
import threading

import numpy as np
import pytest
import soundfile

from xf_audio import audio_utils, ffmpeg, files

STEREO = (0.1 * np.random.default_rng(0).standard_normal((4000, 2))).astype(np.float32)


def encoded(samples=STEREO, rate=16000, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **({"format": "WAV", "subtype": "FLOAT"} | options))
    return buffer.getvalue()


@pytest.fixture
def no_ffmpeg(monkeypatch):
    monkeypatch.setattr(ffmpeg, "ffmpeg_path", lambda: None)


@pytest.mark.parametrize(
    "options", [{}, {"format": "FLAC", "subtype": "PCM_24"}, {"format": "AIFF", "subtype": "FLOAT"}]
)
def test_channels_are_averaged_and_the_rate_is_given_back(options):
    samples, rate = audio_utils.read_audio(encoded(**options))
    assert (samples.dtype, rate) == (np.float32, 16000)
    np.testing.assert_allclose(samples, STEREO.mean(axis=1), atol=1e-6)


def test_lossy_formats_decode(tmp_path):
    seconds = np.arange(16000) / 16000
    tone = (0.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    for name in ("tone.mp3", "tone.ogg"):
        soundfile.write(tmp_path / name, tone, 16000)
        samples = audio_utils.load_audio(str(tmp_path / name))
        assert np.abs(np.fft.rfft(samples[:16000])).argmax() == 440


def test_resampling_keeps_a_tone_and_rounds_the_length_up():
    seconds = np.arange(44100) / 44100
    tone = np.sin(2 * np.pi * 440 * seconds).astype(np.float32)
    samples, rate = audio_utils.read_audio(encoded(tone, 44100), 16000)
    assert (len(samples), rate) == (16000, 16000)
    assert np.abs(np.fft.rfft(samples)).argmax() == 440
    assert len(audio_utils.resample(np.zeros(7, np.float32), 22050, 16000)) == 6


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"This is a text, not a recording. " * 30, "not audio"),
        (b"\x89PNG\r\n\x1a\n" + bytes(2000), "not audio"),
        (encoded()[:30], "not audio"),
        (encoded(STEREO[:0]), "no samples"),
        (encoded(np.where(np.arange(4000)[:, None] == 7, np.nan, STEREO)), "NaN"),
    ],
    ids=["empty", "text", "picture", "cut off", "no samples", "no numbers"],
)
def test_what_is_no_sound_is_refused(no_ffmpeg, data, words):
    with pytest.raises(files.AudioError, match=words):
        audio_utils.read_audio(data)


def test_a_recording_over_the_limit_is_refused_before_it_is_read():
    with pytest.raises(files.AudioError, match="limit of 10 s"):
        audio_utils.read_audio(encoded(np.zeros(16000 * 11, np.float32)), max_seconds=10)


def test_a_header_that_promises_more_than_the_data_can_hold_is_refused():
    with pytest.raises(files.AudioError, match="claims 1000000000 samples"):
        files._check_length("x.wav", 10**9, 48000, 1, None, 2000)
    with pytest.raises(files.AudioError, match="sampling rate of 0"):
        files._check_length("x.wav", 10, 0, 1, None, 2000)


def test_missing_files_folders_and_other_types(tmp_path):
    with pytest.raises(FileNotFoundError, match="no audio file"):
        audio_utils.load_audio(str(tmp_path / "absent.wav"))
    with pytest.raises(files.AudioError, match="is a folder"):
        audio_utils.load_audio(tmp_path)
    with pytest.raises(TypeError, match="not int"):
        audio_utils.load_audio(5)
    with pytest.raises(files.AudioError, match="whole number of Hz"):
        audio_utils.resample(np.zeros(5), 0, 16000)


def test_a_missing_package_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ImportError, match=r"pip install 'xf-audio\[files\]'"):
        audio_utils.read_audio(b"RIFF")


def test_arrays_pass_through_load_audio():
    samples = np.zeros(3)
    assert audio_utils.load_audio(samples) is samples


def test_load_audio_as_wav(tmp_path):
    soundfile.write(tmp_path / "a.wav", STEREO, 16000)
    buffer = audio_utils.load_audio_as(str(tmp_path / "a.wav"), "buffer", force_mono=True, sampling_rate=8000)
    samples, rate = soundfile.read(buffer)
    assert samples.shape == (2000,) and rate == 8000
    assert audio_utils.load_audio_as(str(tmp_path / "a.wav"), "dict")["format"] == "wav"
    with pytest.raises(ValueError, match="return_format"):
        audio_utils.load_audio_as(str(tmp_path / "a.wav"), "mp3")


@pytest.fixture
def server():
    payload = encoded()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/a.wav" else 404)
            self.end_headers()
            if self.path == "/a.wav":
                self.wfile.write(payload)

        def log_message(self, *args):
            pass

    running = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def test_addresses(server, monkeypatch):
    monkeypatch.delenv("XF_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert audio_utils.load_audio(f"{server}/a.wav").shape == (4000,)
    with pytest.raises(files.AudioError, match="could not be fetched"):
        audio_utils.load_audio(f"{server}/b.wav")
    with pytest.raises(files.AudioError, match="longer than 10 bytes"):
        files.fetch(f"{server}/a.wav", max_bytes=10)
    monkeypatch.setenv("XF_OFFLINE", "1")
    with pytest.raises(files.AudioError, match="Offline mode"):
        audio_utils.load_audio(f"{server}/a.wav")


def fake_ffmpeg(tmp_path, body):
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    return str(tmp_path) + os.pathsep + os.environ["PATH"]


def test_ffmpeg_reads_what_libsndfile_cannot(tmp_path, monkeypatch):
    body = "data = sys.stdin.buffer.read()\nassert '8000' in sys.argv\nsys.stdout.buffer.write(data[4:])"
    monkeypatch.setenv("PATH", fake_ffmpeg(tmp_path, body))
    samples = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(audio_utils.ffmpeg_read(b"XXXX" + samples.tobytes(), 8000), samples)
    np.testing.assert_array_equal(audio_utils.read_audio(b"XXXX" + samples.tobytes(), 8000)[0], samples)


def test_ffmpeg_that_finds_no_sound_or_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", fake_ffmpeg(tmp_path, "sys.stderr.write('Invalid data\\n'); sys.exit(1)"))
    with pytest.raises(ValueError, match="Invalid data"):
        audio_utils.ffmpeg_read(b"nothing", 16000)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="Install it"):
        audio_utils.ffmpeg_read(b"nothing", 16000)


def test_a_byte_stream_is_regrouped_into_overlapping_chunks():
    chunks = list(ffmpeg.chunk_bytes_iter(iter([b"abc", b"def", b"gh"]), 4, (1, 1)))
    assert [c["raw"] for c in chunks] == [b"abcd", b"cdef", b"efgh", b"gh"]
    assert [c["stride"] for c in chunks] == [(0, 1), (1, 1), (1, 1), (1, 0)]
    partial = list(ffmpeg.chunk_bytes_iter(iter([b"ab", b"cd"]), 4, (1, 1), stream=True))
    assert [c["partial"] for c in partial] == [True, False, False]
    with pytest.raises(ValueError, match="leave nothing"):
        list(ffmpeg.chunk_bytes_iter(iter([b"ab"]), 2, (1, 1)))


def test_lists_of_audio():
    one = np.zeros(3)
    assert audio_utils.make_list_of_audio(one) == [one]
    assert len(audio_utils.make_list_of_audio((one, one))) == 2
    with pytest.raises(ValueError, match="array"):
        audio_utils.make_list_of_audio("speech.wav")
