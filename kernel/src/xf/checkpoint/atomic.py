"""Writing files so that a kill at any moment leaves the old or the new, whole.

One file: written beside its target under a temporary name, flushed to disk, then renamed over it.
Several files that belong together (shards and their index): staged in a hidden folder inside the target folder;
renaming that folder to `COMMIT` is the single moment at which the new save takes the place of the old. What follows
(moving the files to their places, removing stale ones) can be cut short anywhere: readers look into `COMMIT` first
(`xf.checkpoint.source`), and the next save finishes the work.

No torch here: configs and tokenizers are written by it too.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: a complete save that has not been moved to its place yet
COMMIT = ".xf-commit"
#: inside it: which files of the older save the new one makes stale
JOURNAL = "journal.json"
_STAGING = ".xf-saving-"


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Replace the file at `path` by `data` (text as UTF-8); the folder is created when missing."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def write_json_atomic(path: str | os.PathLike[str], obj: Any, *, sort_keys: bool = True) -> None:
    """`write_atomic` of `obj` as JSON: two spaces of indent, a newline at the end."""
    write_atomic(path, json.dumps(obj, indent=2, sort_keys=sort_keys, ensure_ascii=False) + "\n")


class Saving:
    """One multi-file save in progress: ask for the `path` to write each file to, name what becomes stale."""

    def __init__(self, staging: Path) -> None:
        self._staging = staging
        self._order: list[str] = []
        self._stale: list[str] = []

    def path(self, filename: str) -> Path:
        """Where to write `filename` for now. Files take their places in the order of these calls: index last."""
        if not plain_name(filename):
            raise ValueError(f"{filename!r} is not a plain file name")
        if filename not in self._order:
            self._order.append(filename)
        return self._staging / filename

    @property
    def folder(self) -> Path:
        """Where the files of this save are for now; `adopt` takes up what was written here without `path`."""
        return self._staging

    def adopt(self) -> None:
        """Take part in this save: every visible file that is in `folder` already."""
        for path in sorted(self._staging.iterdir()):
            if plain_name(path.name):
                self.path(path.name)

    def remove(self, filename: str) -> None:
        """Remove `filename` of the older save once the new save is in place."""
        self._stale.append(filename)


@contextmanager
def saving_directory(directory: str | os.PathLike[str], removable: Callable[[str], bool]) -> Iterator[Saving]:
    """Save several files into `directory` as one; nothing changes there when the body raises.

    `removable(name)` says which names a save of this kind may ever remove: a journal cannot ask for more than that.
    """
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    _finish(target, removable)
    staging = target / f"{_STAGING}{os.getpid()}-{secrets.token_hex(4)}"
    staging.mkdir()
    saving = Saving(staging)
    try:
        yield saving
        stale = [name for name in saving._stale if name not in saving._order]
        write_json_atomic(staging / JOURNAL, {"order": saving._order, "remove": stale})
        mode = (staging / JOURNAL).stat().st_mode & 0o777
        for name in saving._order:
            os.chmod(staging / name, mode)  # some libraries write files that only their owner may read
            _sync_file(staging / name)
        _sync_folder(staging)
        os.rename(staging, target / COMMIT)
        _sync_folder(target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    _finish(target, removable)


def read_journal(commit: Path) -> tuple[list[str], list[str]]:
    """(files in order, stale files) of a committed save; names that are not plain are left out."""
    try:
        data = json.loads((commit / JOURNAL).read_text("utf-8"))
        order, remove = data["order"], data["remove"]
    except (OSError, ValueError, KeyError, TypeError):
        return [], []
    return [str(n) for n in order if plain_name(str(n))], [str(n) for n in remove if plain_name(str(n))]


def plain_name(name: str) -> bool:
    """Whether `name` is one file name: no folder, no drive, no control characters, not hidden."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\:\0") and name.isprintable()


def _finish(target: Path, removable: Callable[[str], bool]) -> None:
    """Move a committed save to its place; safe to repeat after being cut short at any point."""
    commit = target / COMMIT
    if not (commit / JOURNAL).is_file():
        shutil.rmtree(commit, ignore_errors=True)
        _drop_dead_staging(target)
        return
    order, stale = read_journal(commit)
    pending = [name for name in order if (commit / name).is_file()]
    if any(removable(name) and (target / name).exists() for name in pending if not name.endswith(".index.json")):
        # old shards and new ones share names: without an index a reader that does not know COMMIT fails, not mixes
        _unlink_all(target, [name for name in pending if name.endswith(".index.json")])
    for name in pending:
        os.replace(commit / name, target / name)
    _unlink_all(target, [name for name in stale if removable(name)])
    _sync_folder(target)
    (commit / JOURNAL).unlink()
    shutil.rmtree(commit, ignore_errors=True)


def _unlink_all(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _drop_dead_staging(target: Path) -> None:
    """Remove staging folders of saves that were killed; those of living processes are somebody else's work."""
    for folder in target.glob(f"{_STAGING}*"):
        pid = folder.name[len(_STAGING) :].partition("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is not a harmless question
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entries, where the platform can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
