"""Where a checkpoint comes from: a folder, the hub, an installed package, or whatever a plugin adds.

`resolve` turns what a user wrote into a `Checkpoint`, and everything else (config, tokenizer, processor, generation
config, weights) reads its files through that. No torch here, and no huggingface_hub before the hub is meant.

A plugin adds sources with an entry point in the group ``xf.v1.checkpoint_source``. Its name is either a checkpoint name
(``all-MiniLM-L6-v2``) or a scheme (``s3`` serves ``s3://bucket/key``); its target is a callable
``(name: str, *, revision: str | None) -> str | Path | Checkpoint``.
"""

from __future__ import annotations

import json
import os
import re
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from xf import logging
from xf.checkpoint.atomic import COMMIT, JOURNAL, read_journal, write_atomic
from xf.checkpoint.errors import CheckpointError
from xf.hub import is_offline

if TYPE_CHECKING:
    from importlib.metadata import Distribution

logger = logging.get_logger(__name__)

_LISTED_DEPTH = 3
_LISTED_IN_ERRORS = 20
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_WEIGHT_SUFFIXES = (".safetensors", ".gguf", ".bin")


class Checkpoint:
    """A set of named files.

    Attributes: `name` (as the user gave it), `origin` ("folder", "hub", "package", or a plugin's name),
    `revision` (the hub's commit hash, else None), `root` (the folder that holds it, for a source that has one) and
    `file` (the file name, when the user named one file rather than a folder).
    """

    def __init__(
        self, name: str, root: Path, *, origin: str = "folder", revision: str | None = None, file: str | None = None
    ) -> None:
        self.name, self.root, self.origin, self.revision, self.file = name, root, origin, revision, file
        self._commit: Path | None = None
        self._stale: frozenset[str] = frozenset()
        commit = root / COMMIT
        if (commit / JOURNAL).is_file():  # a save that was cut short while it moved its files: see xf.checkpoint.atomic
            self._commit, self._stale = commit, frozenset(read_journal(commit)[1])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, origin={self.origin!r}, revision={self.revision!r})"

    def path(self, filename: str) -> Path | None:
        """The local path of `filename` (downloaded now if need be), None when the checkpoint has no such file.

        Symbolic links are followed: the hub's own cache is made of them. ValueError for a name that leaves the
        checkpoint.
        """
        relative = inside(filename, self.name)
        if self._commit is not None:
            if (self._commit / relative).is_file():
                return self._commit / relative
            if filename in self._stale:
                return None
        path = self.root / relative
        return path if path.is_file() else None

    def require(self, filename: str) -> Path:
        """`path`, or a CheckpointError that lists what there is."""
        path = self.path(filename)
        if path is None:
            raise CheckpointError(f"{self.name} has no file {filename!r}. {self.describe()}")
        return path

    def read_text(self, filename: str) -> str | None:
        """The text of `filename` (UTF-8), None when there is no such file."""
        path = self.path(filename)
        if path is None:
            return None
        try:
            return path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path} is not UTF-8 text ({error}): it is damaged or of another kind") from None

    def read_json(self, filename: str) -> dict[str, Any] | None:
        """The JSON object in `filename`, None when there is no such file, CheckpointError when it is broken."""
        text = self.read_text(filename)
        return None if text is None else parse_json_object(text, f"{filename} of {self.name}")

    def list(self) -> list[str]:
        """The names of all files, relative, with ``/``, sorted; hidden files and deep folders are left out."""
        names: set[str] = set()
        for base in filter(None, (self.root, self._commit)):
            for folder, folders, files in os.walk(base):
                relative = Path(folder).relative_to(base)
                folders[:] = [f for f in folders if not f.startswith(".") and len(relative.parts) < _LISTED_DEPTH - 1]
                names.update((relative / file).as_posix() for file in files if not file.startswith("."))
        return sorted(names - self._stale - {JOURNAL})

    def describe(self) -> str:
        """One sentence that says which files there are."""
        names = sorted({name.partition("/")[0] + ("/" if "/" in name else "") for name in self.list()})
        if not names:
            return "It is empty."
        more = f" and {len(names) - _LISTED_IN_ERRORS} more" if len(names) > _LISTED_IN_ERRORS else ""
        return f"It holds: {', '.join(names[:_LISTED_IN_ERRORS])}{more}."


class HubCheckpoint(Checkpoint):
    """A repository on the hub, pinned to one commit when it is resolved; files are downloaded on demand.

    One request finds the commit and the file names; a file that the cache has is then served without a request, a
    file the repository lacks as well. Offline, or when the hub cannot be reached, the cache alone answers.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None,
        subfolder: str,
        token: str | bool | None,
        cache_dir: str | os.PathLike[str] | None,
        local_files_only: bool,
        force_download: bool,
    ) -> None:
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        self._token, self._subfolder, self._force = token, subfolder.strip("/"), force_download
        self._cache_dir = Path(cache_dir or constants.HF_HUB_CACHE)
        self._storage = self._cache_dir / repo_folder_name(repo_id=name, repo_type="model")
        self._files: frozenset[str] | None = None
        asked = revision or "main"
        self._local_only = local_files_only or is_offline()
        commit = None if self._local_only else self._ask_hub(name, asked)
        commit = commit or self._cached_commit(asked)
        if commit is None:
            raise _not_cached(name, asked, self._cache_dir)
        super().__init__(name, self._storage / "snapshots" / commit / self._subfolder, origin="hub", revision=commit)
        self._reference = None if self._local_only or asked == commit else self._storage / "refs" / asked

    def _ask_hub(self, name: str, revision: str) -> str | None:
        """The commit of `revision`, and the file names into `_files`; None when the hub cannot be reached."""
        from huggingface_hub import HfApi
        from huggingface_hub import errors as hub

        try:
            info = HfApi(token=self._token).model_info(name, revision=revision)
        except hub.RevisionNotFoundError:
            raise CheckpointError(f"{name} on the hub has no revision {revision!r} (branch, tag or commit)") from None
        except hub.GatedRepoError:
            raise CheckpointError(
                f"{name} on the hub is gated: ask for access on its page, then `hf auth login` or pass token="
            ) from None
        except hub.RepositoryNotFoundError:
            raise _unknown_name(name) from None
        except Exception as error:  # no network, a time-out, a server error: their types vary with the HTTP client
            logger.warning(f"the hub did not answer for {name} ({type(error).__name__}: {error}); the cache is used")
            self._local_only = True
            return None
        self._files = frozenset(entry.rfilename for entry in info.siblings or ())
        return info.sha

    def _cached_commit(self, revision: str) -> str | None:
        """The commit that the cache has for a branch or tag, or `revision` itself when it is a commit."""
        inside(revision, f"revision of {self._storage.name}")
        if (self._storage / "snapshots" / revision).is_dir():
            return revision
        reference = self._storage / "refs" / revision
        commit = reference.read_text("utf-8").strip() if reference.is_file() else None
        return commit if commit and (self._storage / "snapshots" / commit).is_dir() else None

    def path(self, filename: str) -> Path | None:
        found = super().path(filename)
        if self._local_only:
            return found
        if found is not None and not self._force:
            self._note_reference()
            return found
        remote = (PurePosixPath(self._subfolder) / inside(filename, self.name)).as_posix()
        if self._files is not None and remote not in self._files:
            return None
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        try:
            path = hf_hub_download(
                self.name,
                remote,
                revision=self.revision,
                cache_dir=self._cache_dir,
                token=self._token,
                force_download=self._force,
            )
        except EntryNotFoundError:
            return None
        except Exception as error:
            raise CheckpointError(
                f"{remote} of {self.name} could not be downloaded ({type(error).__name__}: {error}). "
                "What is complete in the cache stays; try again to go on."
            ) from error
        self._note_reference()
        return Path(path)

    def _note_reference(self) -> None:
        """Write what commit the branch is, so that it is found offline; not before there is a file to find."""
        if self._reference is not None:
            write_atomic(self._reference, str(self.revision))
            self._reference = None

    def list(self) -> list[str]:
        if self._files is None:
            return super().list()
        prefix = f"{self._subfolder}/" if self._subfolder else ""
        return sorted(name[len(prefix) :] for name in self._files if name.startswith(prefix))


def resolve(
    name_or_path: str | os.PathLike[str] | Checkpoint,
    *,
    revision: str | None = None,
    subfolder: str = "",
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Checkpoint:
    """Find the checkpoint that `name_or_path` names.

    In this order: a `Checkpoint` (returned as it is), a folder or a single file on disk, a name that an installed
    plugin serves, ``package://<distribution>[/subpath]``, any other ``scheme://`` of a plugin, a repository on the hub.

    Raises CheckpointError (an OSError and a ValueError) that says what was looked for, where, and what to do.
    """
    if isinstance(name_or_path, Checkpoint):
        return name_or_path
    name = os.fspath(name_or_path)
    if not name or "\0" in name:
        raise CheckpointError(f"{name!r} names no checkpoint: give a folder, a hub repository or a package:// name")
    inside(subfolder or "x", name)
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(name, path, subfolder)
    if path.is_file():
        return Checkpoint(name, path.parent, file=path.name)
    served = _from_plugin(name, revision, subfolder)
    if served is not None:
        return served
    scheme = _SCHEME.fullmatch(name)
    if scheme is not None:
        if scheme[1] == "package":
            return _folder(name, _package_folder(scheme[2]), subfolder, origin="package")
        raise CheckpointError(f"{name}: no installed plugin serves {scheme[1]}:// (group xf.v1.checkpoint_source)")
    if _looks_like_path(name) or not _HUB_NAME.fullmatch(name):
        raise _no_such_folder(name, path)
    return HubCheckpoint(
        name,
        revision=revision,
        subfolder=subfolder,
        token=token,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        force_download=force_download,
    )


def pop_source_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Take the arguments of `resolve` out of the keyword arguments of a from_pretrained."""
    names = ("revision", "subfolder", "token", "cache_dir", "local_files_only", "force_download")
    options = {name: kwargs.pop(name) for name in names if name in kwargs}
    old_token = kwargs.pop("use_auth_token", None)  # the older spelling of token
    for name in ("resume_download", "proxies", "user_agent"):  # without effect in huggingface_hub since 1.0
        if kwargs.pop(name, None) is not None:
            logger.warning(f"{name}= is ignored: huggingface_hub no longer takes it")
    if old_token is not None:
        options.setdefault("token", old_token)
    return {name: value for name, value in options.items() if value is not None}


def inside(filename: str, where: str) -> str:
    """`filename` itself if it is a relative path that stays inside its folder; CheckpointError otherwise."""
    parts = filename.split("/")
    if not filename or filename.startswith("/") or "\\" in filename or "\0" in filename or ":" in parts[0]:
        raise CheckpointError(f"{where}: {filename!r} is not a file name inside the checkpoint")
    if ".." in parts:
        raise CheckpointError(f"{where}: {filename!r} points outside the checkpoint; it is refused")
    return filename


def parse_json_object(text: str, what: str) -> dict[str, Any]:
    """The JSON object in `text`; CheckpointError naming `what` when it is broken or not an object."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{what} is not valid JSON ({error}): the file is damaged or incomplete") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{what} holds a JSON {type(data).__name__} where an object {{...}} is needed")
    return data


def _folder(name: str, path: Path, subfolder: str, origin: str = "folder") -> Checkpoint:
    root = path / subfolder if subfolder else path
    if not root.is_dir():
        raise CheckpointError(f"{name} has no folder {subfolder!r}. {Checkpoint(name, path).describe()}")
    return Checkpoint(name, root, origin=origin)


def _from_plugin(name: str, revision: str | None, subfolder: str) -> Checkpoint | None:
    """The checkpoint of a plugin that serves `name` itself, its scheme or, by a hook, any name; None when none does."""
    from xf.plugins import registry
    from xf.plugins.hooks import hooks

    sources = registry("checkpoint_source")
    scheme = _SCHEME.fullmatch(name)
    key = next((k for k in (name, scheme[1] if scheme else None) if k and sources.find(k) is not None), None)
    if key is None:
        folder = hooks().xf_resolve_checkpoint(name=name, revision=revision)
        return None if folder is None else _folder(name, Path(folder), subfolder, origin="hook")
    source: Any = sources.get(key)
    found = source(name, revision=revision)
    return found if isinstance(found, Checkpoint) else _folder(name, Path(found), subfolder, origin=key)


def _package_folder(target: str) -> Path:
    """The folder inside an installed distribution that holds a checkpoint: the one named, else the only one."""
    from importlib.metadata import PackageNotFoundError, distribution

    package, _, subpath = target.partition("/")
    try:
        found = distribution(package)
    except (PackageNotFoundError, ValueError):
        raise CheckpointError(
            f"package://{target}: no distribution {package!r} is installed in this environment"
        ) from None
    folders = _weight_folders(found)
    if not subpath:
        if len(folders) == 1:
            return folders.popitem()[1]
        raise CheckpointError(f"package://{package} holds {len(folders) or 'no'} checkpoints; name one of {[*folders]}")
    inside(subpath, f"package://{target}")
    located = folders.get(subpath.strip("/")) or Path(str(found.locate_file(subpath)))
    if not located.is_dir():
        raise CheckpointError(f"package://{target}: no folder {subpath!r} in {package}; it holds {[*folders]}")
    return located


def _weight_folders(found: Distribution) -> dict[str, Path]:
    """The folders of a distribution in which weights lie, by their path in it."""
    files = [PurePosixPath(str(f)) for f in found.files or ()]
    folders = {f.parent.as_posix() for f in files if f.suffix in _WEIGHT_SUFFIXES and ".." not in f.parts}
    return {folder: Path(str(found.locate_file(folder))) for folder in sorted(folders)}


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~", os.sep, "/")) or name.count("/") > 1 or os.path.isabs(name) or "\\" in name


def _no_such_folder(name: str, path: Path) -> CheckpointError:
    parent = next((p for p in path.parents if p.is_dir()), Path())
    missing = path.relative_to(parent).parts[0] if path.parts else name
    there = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
    close = get_close_matches(missing, there, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"it holds {there[:_LISTED_IN_ERRORS]}"
    return CheckpointError(f"there is no folder {name}: {parent.resolve()} has no {missing!r}; {hint}")


def _here(name: str) -> str:
    """Folders of the working directory that the name may have meant."""
    folders = [entry.name for entry in Path.cwd().iterdir() if entry.is_dir()]
    close = get_close_matches(name, folders, n=3)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def _unknown_name(name: str) -> CheckpointError:
    return CheckpointError(
        f"{name!r} is neither a folder here, {Path.cwd()}{_here(name)}, nor a model on the hub. Check the spelling; "
        "for a private repository log in with `hf auth login` or pass token="
    )


def _not_cached(name: str, revision: str, cache_dir: Path) -> CheckpointError:
    return CheckpointError(
        f"{name!r} is no folder here, {Path.cwd()}{_here(name)}, and revision {revision!r} is not in the cache "
        f"{cache_dir}; the hub was not asked (offline, local_files_only, or unreachable). Do one of: load it once with "
        "a connection; unset XF_OFFLINE and HF_HUB_OFFLINE; pass cache_dir= of another cache or the path of a folder."
    )
