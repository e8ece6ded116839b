"""Answers cases in the reference environment: `python reference_worker.py FOLDER...` (see xf_testing.reference).

Runs without xf: the sibling files it needs are loaded by path.
"""

import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def load_siblings() -> types.ModuleType:
    """Import the files beside this one as the package xf_testing, without its __init__ (which may want xf)."""
    here = Path(__file__).parent
    package = types.ModuleType("xf_testing")
    package.__path__ = [str(here)]
    sys.modules["xf_testing"] = package
    return importlib.import_module("xf_testing.reference")


def main(folders: list[Path]) -> None:
    torch.set_num_threads(1)
    reference = load_siblings()
    library = importlib.import_module("transformers")
    library.logging.set_verbosity_error()
    for folder in folders:
        case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        case["inputs"] = load_file(folder / "inputs.safetensors")
        outputs = reference.answer_case(case, library=library)
        save_file({k: v.contiguous() for k, v in outputs.items()}, folder / "outputs.safetensors")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
