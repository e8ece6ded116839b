"""Write the lists of the root pyproject.toml that follow from the folder tree: extras and workspace sources.

    python tools/sync_root.py           # rewrite
    python tools/sync_root.py --check   # fail if they are not current (make lint)

A plugin belongs to `vision` or `audio` when it needs that foundation, to `train` when it needs xf-training or is a
callback, and else to `text`; `all` takes every plugin, none of contrib.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from packages import ROOT, Package, packages, requirement_name

MODALITIES = {"xf-vision": "vision", "xf-audio": "audio", "xf-training": "train"}


def extras_of(package: Package) -> set[str]:
    needs = {requirement_name(r) for r in package.requires}
    named = {extra for foundation, extra in MODALITIES.items() if foundation in needs}
    if package.folder.parent.name == "callbacks":
        named.add("train")
    return named or {"text"}


def extras() -> list[str]:
    wanted: dict[str, set[str]] = {name: set() for name in ("text", "vision", "audio", "train", "all")}
    for package in packages():
        if package.kind == "plugin":
            for extra in extras_of(package) | {"all"}:
                wanted[extra].add(package.name)
        elif package.name == "xf-training":
            wanted["train"].add(package.name)
            wanted["all"].add(package.name)
    lines = []
    for extra, names in wanted.items():
        lines.append(f"{extra} = [")
        lines += [f'    "{name}>=1.0,<2",' for name in sorted(names)]
        lines.append("]")
    return lines


def members() -> list[str]:
    """Named one by one: uv refuses a pattern that matches a folder without a pyproject.toml."""
    found = sorted(str(package.folder.relative_to(ROOT)) for package in packages())
    return ["members = [", *(f'    "{folder}",' for folder in found), "]"]


def sources() -> list[str]:
    return [f"{package.name} = {{ workspace = true }}" for package in sorted(packages(), key=lambda p: p.name)]


def rewrite(text: str) -> str:
    lines, result, generated = text.splitlines(), [], {"extras": extras(), "members": members(), "sources": sources()}
    inside = False
    for line in lines:
        if line == "# generated: end":
            inside = False
        if not inside:
            result.append(line)
        if line.startswith("# generated: ") and line != "# generated: end":
            result += generated.pop(line.removeprefix("# generated: "))
            inside = True
    if generated or inside:
        raise ValueError(f"pyproject.toml lost its marks: {sorted(generated) or 'an end is missing'}")
    return "\n".join(result) + "\n"


def main() -> None:
    path = ROOT / "pyproject.toml"
    before = path.read_text(encoding="utf-8")
    after = rewrite(before)
    if "--check" in sys.argv:
        if before != after:
            sys.exit("pyproject.toml is not current: run `make sync`")
    elif before != after:
        path.write_text(after, encoding="utf-8")
        print("pyproject.toml: extras and sources written anew")


if __name__ == "__main__":
    main()
