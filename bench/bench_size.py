"""How little is installed: lines of the kernel, its dependencies, the bytes of a deployment."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tempfile
import tokenize
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from measures import ROOT, Measure, finish
from packages import closure, packages, requirement_name


def code_lines(path: Path) -> int:
    """Lines that hold code: no comment, no blank line, no docstring."""
    source = path.read_text(encoding="utf-8")
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                skipped.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    kept: set[int] = set()
    no_code = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in no_code:
            kept.update(range(token.start[0], token.end[0] + 1))
    return len(kept - skipped)


def installed_bytes(names: list[str]) -> int:
    """Uncompressed bytes of the wheels of these distributions and what they need of this repository."""
    with tempfile.TemporaryDirectory() as folder:
        for package in closure(names):
            command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, package.folder]
            subprocess.run([str(c) for c in command], check=True, capture_output=True)
        total = 0
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                total += sum(info.file_size for info in archive.infolist())
    return total


def main() -> None:
    kernel = next(p for p in packages() if p.kind == "kernel")
    lines = sum(code_lines(path) for path in (ROOT / "kernel" / "src").rglob("*.py"))
    ours = {p.name for p in packages()}
    foreign = [requirement_name(r) for r in kernel.requires if requirement_name(r) not in ours]
    finish(
        [
            Measure("kernel, lines of code", lines, "lines", target=6000),
            Measure("kernel, dependencies", len(foreign), "distributions", target=8),
            # 126 MB: transformers 5.23.0 alone, as measured in the issue
            Measure("xf-plugin-sam with all of xf it needs", installed_bytes(["xf-plugin-sam"]) / 1e6, "MB", target=3),
        ]
    )


if __name__ == "__main__":
    main()
