"""Functions that have a JSON schema; their hints are spelled in all ways."""

from typing import Any, Literal


def plain(x: int):
    """A description.

    Args:
        x: The x
    """


def nothing():
    """Nothing at all."""


def every(
    a: list[int], b: dict[str, int], c: int | str, d: tuple[int, str], f: dict, g: Any, h: Literal["a", "b"],
    i: list[str] | None, j: int | str | None, k: bool, l: list[list[float]], q: "int | None",
    r: "int | str" = 3, s: dict[str, list[int]] = {},  # noqa: B006
    t: Literal[1, 2, "x"] = 1, u: Literal["a"] | None = None,
    v: None = None,
):  # fmt: skip
    """Every hint.

    Args:
        a: a
        b: b
        c: c
        d: d
        f: f
        g: g
        h: h
        i: i
        j: j
        k: k
        l: l
        q: q
        r: r
        s: s
        t: t
        u: u
        v: v
    """


def described(x: str, y: str, z: float = 1.0) -> tuple[int, str]:
    """
    The first line
    and the second.

    Another paragraph.

    Args:
        x: One line
           and another
        y: A choice (choices: ["a", "b"])
        z: with a colon: here

    Returns:
        What comes out,
        on two lines
    """


def silent(x: "int") -> None:
    """Returns nothing.

    Args:
        x: x

    Returns:
        nothing
    """


FUNCTIONS = [plain, nothing, every, described, silent]
