"""The command line: `xf plugins`, `xf doctor`, `xf explain`, `xf run`, and what plugins add in `xf.v1.command`.

It starts with no plugin imported, so it works when a plugin is broken, and can say which one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ._version import VERSION


class Command(Protocol):
    """What a plugin registers in `xf.v1.command`: a class, made only when its command is called."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, arguments: argparse.Namespace) -> int | None:
        """Do it; returns the exit code, None for 0. ValueError, ImportError and OSError are printed as one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 failed, 2 wrong arguments, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments[:1] or os.environ.get("XF_DEBUG") == "1"
    try:
        return _dispatch([argument for argument in arguments if argument != "--debug" or arguments[0] != "--debug"])
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone: `xf plugins | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        expected = isinstance(error, (ValueError, ImportError, OSError, RuntimeError, KeyError, TypeError))
        print(f"xf: {text if expected else f'{type(error).__name__}: {text}'}", file=sys.stderr)
        return 1


def _dispatch(arguments: list[str]) -> int:
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    own: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
        "plugins": ("what is installed, and where a name comes from", _plugins_arguments),
        "doctor": ("check this installation", _doctor_arguments),
        "explain": ("what loading a checkpoint would choose, and why", _explain_arguments),
        "run": (
            "run a task on texts, files or addresses",
            lambda parser: _run_command().add_arguments(parser) if name == "run" else None,
        ),
    }
    parser = argparse.ArgumentParser(prog="xf", description="Published checkpoints through installed plugins.")
    parser.add_argument("--version", action="version", version=f"xf-kernel {VERSION}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks (must come first)")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command, (text, add_arguments) in own.items():
        add_arguments(commands.add_parser(command, help=text, description=text[0].upper() + text[1:] + "."))
    if name not in own:
        _add_plugin_commands(commands, name, own)
    if name == "run":  # what this command does not know is a parameter of the task
        command_run = _run_command()
        arguments, parameters = command_run.separate(arguments)
        return int(command_run.run(parser.parse_args(arguments), parameters))
    parsed = parser.parse_args(arguments)
    if not hasattr(parsed, "function"):
        parser.print_help()
        return 2 if arguments else 0
    return parsed.function(parsed) or 0


def _add_plugin_commands(commands: Any, wanted: str | None, own: Any) -> None:
    """List the commands of plugins by their metadata; only the one that is called is imported."""
    from .plugins import PluginError, registry

    try:
        names = [name for name in registry("command").names() if name not in own]
    except PluginError as error:  # a policy file that cannot be read must not lock anybody out of the help
        print(f"xf: {error}", file=sys.stderr)
        return
    if wanted is not None and wanted not in names and registry("command").find(wanted) is not None:
        registry("command").locate(wanted)  # raises: denied or incompatible
    for name in names:
        record = registry("command").find(name)
        parser = commands.add_parser(name, help=f"from {record.distribution}" if record else None)
        if name == wanted:
            command: Command = registry("command").get(name)()
            command.add_arguments(parser)
            parser.set_defaults(function=command.run)


# --- xf plugins


def _plugins_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "why"), default="list")
    parser.add_argument("name", nargs="?", help="for why: a name of any registry, a public name, or a distribution")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=_plugins)


def _plugins(arguments: argparse.Namespace) -> int:
    from .plugins import groups, registry

    records = [record for group in groups() for record in registry(group).records()]
    if arguments.action == "why":
        if not arguments.name:
            raise ValueError("xf plugins why NAME: which name?")
        return _why(arguments.name, records, arguments.json)
    if arguments.json:
        _print_json([{**record._asdict(), "target": record.target} for record in records])
        return 0
    distributions: dict[tuple[str, str], list[Any]] = {}
    for record in records:
        distributions.setdefault((record.distribution, record.version), []).append(record)
    rows = []
    for (distribution, version), offered in sorted(distributions.items()):
        bad = {record.status: record.reason for record in offered if record.status != "ok"}
        by_group: dict[str, list[str]] = {}
        for record in offered:
            by_group.setdefault(record.group, []).append(record.name)
        status = "; ".join(f"{status}: {reason}" for status, reason in bad.items()) or "ok"
        rows.append((distribution, version, status, _summary(by_group)))
    _print_table(("distribution", "version", "status", "offers"), rows)
    return 0


def _summary(by_group: dict[str, list[str]]) -> str:
    models = sorted({name for group, names in by_group.items() if group.startswith("model.") for name in names})
    parts = [f"{group} {', '.join(names[:4])}{' ...' * (len(names) > 4)}" for group, names in sorted(by_group.items())
             if not group.startswith("model.") and group not in ("symbol", "module", "config")]  # fmt: skip
    heads = sum(group.startswith("model.") for group in by_group)
    if models:
        parts.insert(0, f"models {', '.join(models)} ({heads} heads)")
    extra = sum(len(by_group.get(group, ())) for group in ("symbol", "module"))
    return "; ".join([*parts, f"{extra} more names"] if extra else parts)


def _why(name: str, records: list[Any], as_json: bool) -> int:
    from .plugins import PluginError, known, registry
    from .plugins.index import normalize
    from .plugins.registry import choose

    hits = [r for r in records if name in (r.name, r.attribute) or normalize(name) == r.distribution]
    answers = []
    for record in hits:
        same = [other for other in records if (other.group, other.name) == (record.group, record.name)]
        runtime = record.name in registry(record.group).runtime
        try:
            chosen = record if runtime else choose(same, f"{record.group} {record.name!r}")
            verdict = "used" if chosen == record else f"passed over for {chosen.distribution}"
        except PluginError as error:
            verdict = str(error)
        answers.append({**record._asdict(), "target": record.target, "verdict": verdict})
    owners = known.attribute_owners(name) or known.distributions_of(name)
    missing = [owner for owner in owners if owner not in {record.distribution for record in hits}]
    if as_json:
        _print_json({"name": name, "installed": answers, "not_installed": missing})
    elif answers:
        _print_table(
            ("registry", "name", "target", "distribution", "verdict"),
            [
                (a["group"], a["name"], a["target"], f"{a['distribution']} {a['version']}", a["verdict"])
                for a in answers
            ],
        )
    if missing and not as_json:
        print(f"{name} is also offered by what is not installed: {known.install_line(missing)}" if answers else
              f"{name} is not installed. Run: {known.install_line(missing)}")  # fmt: skip
    if not answers and not missing:
        raise ValueError(f"Nothing installed or known is called {name!r}. `xf plugins` lists what is installed.")
    return 0 if answers else 1


# --- xf doctor


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--imports", action="store_true", help="import every plugin target, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from .commands.doctor import examine

    found = examine(imports=arguments.imports)
    if arguments.json:
        _print_json(found)
    else:
        for check in found:
            print(f"{'ok  ' if check['ok'] else 'FAIL'}  {check['check']}: {check['detail']}")
    return 0 if all(check["ok"] for check in found) else 1


# --- xf explain


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="a folder, a name on the hub, or package://distribution")
    parser.add_argument("--revision")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    from .explain import explain_checkpoint

    found = explain_checkpoint(arguments.checkpoint, revision=arguments.revision)
    print(found.to_json() if arguments.json else found)
    failed = any(choice.what == "loading" for choice in found.choices)
    return 1 if failed else 0


# --- xf run


def _run_command() -> Any:
    """The module that runs tasks: it comes with xf-pipelines, which every task requires."""
    from .plugins import registry

    return registry("command").get("run")


# --- output


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def _print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns under a header; the last one is as long as it needs to be."""
    cells = [list(map(str, row)) for row in rows]
    widths = [max([len(title), *(len(row[i]) for row in cells)]) for i, title in enumerate(header)]
    for row in [list(header), ["-" * width for width in widths[:-1]] + ["-" * len(header[-1])], *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths[:-1], 0], strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
