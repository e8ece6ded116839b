"""Build the reference environments under .reference/: one per version, beside nothing of ours.

    python tools/reference.py [VERSION ...]       # default: both

Comparisons reach them through files or a subprocess (xf_testing.reference); the product never imports them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from packages import ROOT
from setup_env import install_torch, make_venv, run, works

# 4.55.4: the behaviour that the documentation describes. 5.23.0: what is newer, and every comparison of speed.
VERSIONS = ("4.55.4", "5.23.0")
# what its models, tokenizers and processors need to run at all; each is imported by it only where it is installed
ALSO = (
    "accelerate", "gguf==0.19.0", "jinja2", "librosa", "pillow", "protobuf", "regex", "scikit-learn", "scipy",
    "sentencepiece", "soundfile", "tiktoken", "psutil",
)  # fmt: skip


def build(version: str) -> None:
    venv = ROOT / ".reference" / version
    python = venv / "bin" / "python"
    if works(python, f"import importlib.metadata as m; assert m.version('transformers') == {version!r}"):
        print(f"{venv.relative_to(ROOT)} is ready")
        return
    make_venv(venv)
    install_torch(python)
    extra = ["torch==2.13.0", f"transformers=={version}", *ALSO]
    run([python, "-m", "pip", "install", "--quiet", *extra])
    print(f"{venv.relative_to(ROOT)} is ready")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or VERSIONS:
        build(wanted)
