"""What every command has: the shared options, and one way in which errors reach a person.

A command is a function whose first parameter is a ``Talk``. The decorator ``command`` puts ``--json``, ``--quiet``,
``--verbose`` and ``--traceback`` in its place and turns every exception into one paragraph and an exit code:
0 done, 1 a data or run-time error, 2 wrong usage, 130 stopped by the user.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from errata.cli._talk import Talk
from errata.errors import ErrataError

__all__ = ["command", "explain"]

REPORT_AT = "https://github.com/errata-dev/errata/issues"

_SHARED = {
    "json": Annotated[bool, typer.Option("--json", help="Machine-readable JSON alone on stdout; talk goes to stderr.")],
    "quiet": Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but the paths of what was made, and errors.")
    ],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Also show what the libraries below have to say.")],
    "traceback": Annotated[bool, typer.Option("--traceback", help="Show where an unexpected error came from.")],
}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function(talk, ...)`` the shared options and the handling of errors."""

    own, groups = _options_of(function)

    @functools.wraps(function)
    def run(**options: Any) -> None:
        talk = Talk(**{name: options.pop(name) for name in _SHARED})
        for name, group in groups.items():
            options[name] = group(**{field.name: options.pop(field.name) for field in fields(group)})
        code = 0
        with _quiet_libraries(talk):
            try:
                function(talk, **options)
            except (typer.Exit, typer.Abort, typer.BadParameter):
                raise
            except BaseException as error:
                code = _end(talk, error)
        if code:
            raise typer.Exit(code)

    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in _SHARED.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + shared
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _options_of(function: Callable[..., None]) -> tuple[list[inspect.Parameter], dict[str, type[Any]]]:
    """The parameters of a command, those of a group one by one; and the groups, by their parameter's name.

    A group is a dataclass of options (``_options.Reading``), for what several commands have.
    """
    found: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for parameter in list(inspect.signature(function, eval_str=True).parameters.values())[1:]:
        group = parameter.annotation
        if not is_dataclass(group):
            found.append(parameter)
            continue
        assert isinstance(group, type)  # said for type checkers
        groups[parameter.name] = group
        kinds = get_type_hints(group, include_extras=True)
        found += [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=kinds[one.name])
            for one in fields(group)
        ]
    return found, groups


def _end(talk: Talk, error: BaseException) -> int:
    """Tell the error and give the exit code."""
    for folder in reversed(talk.made):
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if it is empty
    if isinstance(error, (SystemExit, GeneratorExit)):
        raise error
    if isinstance(error, BrokenPipeError):  # `errata systems | head`: the reader has what he wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, KeyboardInterrupt):
        talk.error(" ".join(str(error).split()) or f"Stopped. {talk.on_interrupt}")
        return 130
    talk.error(explain(error))
    if talk.traceback:
        from rich.traceback import Traceback

        talk.err.print(Traceback.from_exception(type(error), error, error.__traceback__, width=120))
    return error.exit_code if isinstance(error, ErrataError) else 1


def explain(error: BaseException) -> str:
    """An exception as one paragraph that says what happened and what to do.

    Examples
    --------
    >>> explain(OSError(28, "No space left on device", "out/model.pt"))
    'The disk is full: out/model.pt could not be written. Free some space, or choose another place with --out.'
    """
    text = " ".join(str(error).split())
    if isinstance(error, ErrataError):
        return text
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text:
        return (
            "The memory does not suffice. Close other programs, give fewer rows, or choose a smaller --batch-size or "
            "--model."
        )
    if isinstance(error, OSError):
        return _explain_os(error)
    if "PytorchStreamWriter" in text or "PyTorchFileWriter" in text or "file write failed" in text:
        return "A file could not be written: the disk is full, or the place can't be written to. Free some space."
    return (
        f"errata met something that it did not expect, {type(error).__name__}: {text or 'no message'}. This is "
        f"probably a fault in errata. Run it again with --traceback, and report what that shows at {REPORT_AT}."
    )


def _explain_os(error: OSError) -> str:
    where = error.filename if error.filename is not None else "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"The disk is full: {where} could not be written. Free some space, or choose another place with --out."
    if isinstance(error, FileNotFoundError):
        return f"There is no {where}. Look at the path's spelling, or at the folder you are in ({os.getcwd()})."
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return f"{where} can't be opened for want of permission. Change its permissions, or choose another place."
    return f"The system reports '{error.strerror or error}' for {where}."


@contextlib.contextmanager
def _quiet_libraries(talk: Talk) -> Iterator[None]:
    """Keep stdout for the command's own result, and the libraries' chatter away unless it was asked for."""
    if talk.verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        if talk.verbose:
            yield
            return
        for name in ("lightning", "lightning.pytorch", "lightning.fabric", "lightning_utilities", "torch"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.showwarning = functools.partial(_one_line, talk)
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", module=r"errata\.")
        yield


def _one_line(talk: Talk, message: Warning | str, *_: Any, **__: Any) -> None:
    talk.warn(" ".join(str(message).split()))
