"""What the installed distributions declare, read from their metadata: nothing is imported to find it.

The result is kept on disk under a key that names all it was read from, so a change of any of it is a new scan. A cache
that is corrupt, cannot be written or is replaced by another process at the same time is a scan too, never an error.
"""

from __future__ import annotations

import json
import os
import re
import sys
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from .._version import VERSION
from .errors import PluginError

API_MAJOR = 1
KERNEL = "xf-kernel"
FORMAT = 2  # of the cache file
KEPT_CACHES = 32  # one per interpreter and sys.path; the oldest go first


class Record(NamedTuple):
    """One entry point. `group` is the registry's name: the group without "xf.v1."."""

    group: str
    name: str
    module: str
    attribute: str  # empty where the module itself is meant
    distribution: str
    version: str
    status: str = "ok"  # ok | incompatible | denied
    reason: str = ""  # why it is not ok

    @property
    def target(self) -> str:
        return f"{self.module}:{self.attribute}" if self.attribute else self.module


class Index:
    """All records, by group. A group is parsed when it is first asked for."""

    def __init__(self, key: str, lines: dict[str, str], problems: list[str]) -> None:
        self.key, self.problems = key, problems
        self._lines = lines  # group -> its rows as JSON, without the group
        self._groups: dict[str, dict[str, list[Record]]] = {}

    @property
    def groups(self) -> list[str]:
        """The names of the groups."""
        return list(self._lines)

    def group(self, name: str) -> dict[str, list[Record]]:
        """The records of one group by entry name; empty for a group that nobody uses."""
        if name not in self._groups:
            found: dict[str, list[Record]] = {}
            for row in json.loads(self._lines.get(name, "[]")):
                found.setdefault(row[0], []).append(Record(name, *row))
            self._groups[name] = found
        return self._groups[name]

    @property
    def rows(self) -> list[Record]:
        """Every record."""
        return [record for group in self._lines for records in self.group(group).values() for record in records]

    def declaring(self, attribute: str) -> list[Record]:
        """The records that declare a public name: a `symbol` of that name, then whatever names that attribute."""
        found = list(self.group("symbol").get(attribute, ()))
        quoted = json.dumps(attribute)
        for group, line in self._lines.items():
            if quoted in line:
                records = (record for records in self.group(group).values() for record in records)
                found += [record for record in records if record.attribute == attribute and record not in found]
        return found

    def attributes(self) -> list[str]:
        """Every public name that is declared."""
        return sorted({record.attribute for record in self.rows if record.attribute} | set(self.group("symbol")))


def normalize(name: str) -> str:
    """A distribution name as PEP 503 spells it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


_current: Index | None = None


def index() -> Index:
    """The index of this process, from the cache on disk or a scan."""
    return _current or refresh()


def refresh() -> Index:
    """Look again: after an installation in a running process, or a change of sys.path."""
    global _current
    key, folders = _fingerprint()
    if _current is None or _current.key != key:
        found = _read_cache(key) if cache_enabled() else None
        if found is None:
            rows, problems = _scan(folders)
            groups: dict[str, list[list[str]]] = {}
            for row in rows:
                groups.setdefault(row[0], []).append(row[1:])
            found = Index(key, {group: json.dumps(groups[group]) for group in sorted(groups)}, problems)
            if cache_enabled():
                _write_cache(found)
        _current = found
    if _current.problems and os.environ.get("XF_STRICT_PLUGINS") == "1":
        raise PluginError("Broken plugin metadata (XF_STRICT_PLUGINS=1): " + "; ".join(_current.problems))
    return _current


def _fingerprint() -> tuple[str, list[str]]:
    """The key of the cache, and the metadata folders (or archives) in the order Python would take them."""
    lines = [f"{FORMAT} {VERSION} {API_MAJOR}", sys.version, sys.executable or "", sys.prefix]
    folders: list[str] = []
    for path in dict.fromkeys(entry or os.getcwd() for entry in sys.path if isinstance(entry, str)):
        try:
            names = sorted(name for name in os.listdir(path) if name.endswith((".dist-info", ".egg-info")))
        except NotADirectoryError:
            lines.append(f"{path} {os.stat(path).st_mtime_ns}")
            folders.append(path)
            continue
        except OSError:
            continue
        lines.append(path)
        for name in names:
            folder = f"{path}/{name}"
            try:
                stat = os.stat(folder + "/entry_points.txt")
                lines.append(f"{name} {stat.st_mtime_ns} {stat.st_size}")
            except OSError:
                lines.append(name)  # it may hide a copy of itself further on
            folders.append(folder)
    return "\n".join(lines), folders


# --- reading metadata


def _scan(folders: list[str]) -> tuple[list[list[str]], list[str]]:
    rows: list[list[str]] = []
    problems: list[str] = []
    seen: set[str] = set()
    for folder in folders:
        for name, entry_points, metadata in _metadata(folder, seen, problems):
            rows += _rows(name, entry_points, metadata, problems)
    return rows, problems


def _metadata(folder: str, seen: set[str], problems: list[str]) -> Iterator[tuple[str, str, str]]:
    """(name, entry_points.txt, METADATA) of a distribution that offers something to xf; of two copies, the first."""
    if os.path.isfile(folder) and not folder.endswith("-info"):
        from importlib_metadata import distributions

        for found in distributions(path=[folder]):
            name = normalize(found.name)
            if name not in seen:
                seen.add(name)
                yield name, found.read_text("entry_points.txt") or "", found.read_text("METADATA") or ""
        return
    name = normalize(os.path.basename(folder).rpartition(".")[0].partition("-")[0])
    if name in seen:
        return
    seen.add(name)
    try:
        with open(os.path.join(folder, "entry_points.txt"), encoding="utf-8") as file:
            entry_points = file.read()
        if "[xf.v" not in entry_points:
            return
        metadata = "METADATA" if folder.endswith(".dist-info") else "PKG-INFO"
        with open(os.path.join(folder, metadata), encoding="utf-8") as file:
            yield name, entry_points, file.read()
    except (FileNotFoundError, NotADirectoryError):
        if os.path.exists(os.path.join(folder, "entry_points.txt")):
            problems.append(f"{folder}: entry points without metadata; reinstall {name}")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{folder}: {error}")


def _rows(name: str, entry_points: str, metadata: str, problems: list[str]) -> list[list[str]]:
    """The records of one distribution, as the cache keeps them."""
    version, requirements = "unknown", []
    for line in metadata.splitlines():
        if not line:
            break
        key, _, value = line.partition(":")
        if key.lower() == "name" and normalize(value):
            name = normalize(value)
        elif key.lower() == "version":
            version = value.strip()
        elif key.lower() == "requires-dist" and normalize(value).startswith(KERNEL):
            requirements.append(value.strip())
    reason = _unmet(requirements)
    rows: dict[tuple[str, str, str], list[str]] = {}
    others: dict[tuple[str, str, str], list[str]] = {}
    for group, entry, value in _entries(entry_points):
        _, major, registry = (group.split(".", 2) + ["", ""])[:3]
        module, _, attribute = (part.strip() for part in value.partition("[")[0].partition(":"))
        if not registry or not entry or not all(p.isidentifier() for p in [*module.split("."), attribute or "x"]):
            problems.append(f"{name} {version}: malformed entry point {entry} = {value!r} in [{group}]")
        elif major == f"v{API_MAJOR}":
            status = "incompatible" if reason else "ok"
            rows[registry, entry, value] = [registry, entry, module, attribute, name, version, status, reason]
        else:
            text = f"it is written for plugin API {major}, this kernel offers v{API_MAJOR}"
            others[registry, entry, value] = [registry, entry, module, attribute, name, version, "incompatible", text]
    offered = {(registry, entry) for registry, entry, _ in rows}
    return list(rows.values()) + [row for key, row in others.items() if key[:2] not in offered]


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """(group, name, value) of the groups that are ours."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif line and line[0] not in "#;" and re.match(r"xf\.v\d", group):
            name, _, value = line.partition("=")
            yield group, name.strip(), value.strip()


def _unmet(requirements: list[str]) -> str:
    """Why this kernel does not meet the requirements on it, or an empty string."""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in requirements:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            return f"its requirement {text!r} cannot be read"
        if normalize(wanted.name) != KERNEL or not (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            continue
        if not wanted.specifier.contains(VERSION, prereleases=True):
            return f"it needs {KERNEL}{wanted.specifier}, this is {KERNEL} {VERSION}"
    return ""


# --- the cache on disk


def cache_home() -> str:
    """The folder of everything xf caches: XF_CACHE, or `xf` in the user's cache folder."""
    return os.environ.get("XF_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "xf"
    )


def cache_enabled() -> bool:
    return os.environ.get("XF_DISCOVERY_CACHE", "1").lower() not in ("0", "false", "no", "off")


def cache_file(key: str) -> str:
    """One file per interpreter and sys.path. The key is compared whole, so a clash of names only costs a scan."""
    where = "\n".join([sys.version, sys.executable or "", sys.prefix, *map(str, sys.path)])
    if "" in sys.path:
        where += os.getcwd()
    return os.path.join(cache_home(), "discovery", f"{zlib.crc32(where.encode('utf-8', 'replace')):08x}.json")


def _read_cache(key: str) -> Index | None:
    try:
        with open(cache_file(key), "rb") as file:
            owner = os.fstat(file.fileno()).st_uid
            if hasattr(os, "geteuid") and owner not in (os.geteuid(), 0):
                return None  # somebody else's file could send a name to another module
            checksum, _, content = file.read().partition(b"\n")
        if int(checksum) != zlib.crc32(content):
            return None
        head, *lines = content.decode("utf-8").split("\n")
        data = json.loads(head)
        return (
            Index(key, dict(zip(data["groups"], lines, strict=True)), data["problems"]) if data["key"] == key else None
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _write_cache(found: Index) -> None:
    """A checksum, a line with the key, then a line a group."""
    path = cache_file(found.key)
    temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    head = json.dumps({"key": found.key, "problems": found.problems, "groups": found.groups})
    content = "\n".join([head, *found._lines.values()]).encode("utf-8")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(b"%d\n" % zlib.crc32(content) + content)
        os.replace(temporary, path)
        _prune(os.path.dirname(path))
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass


def _prune(folder: str) -> None:
    files = sorted(os.scandir(folder), key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
    for entry in files[KEPT_CACHES:]:
        os.unlink(entry.path)
