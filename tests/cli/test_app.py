"""The command as a whole: quick to start, every command explains itself, every error is one paragraph."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest
import typer

from errata.cli import app
from errata.cli._command import command, explain
from errata.cli._talk import Talk
from errata.errors import DataError, ParameterError

COMMANDS = [registered.name or registered.callback.__name__ for registered in app.registered_commands]
HEAVY = ("torch", "pandas", "sklearn", "numpy", "lightning", "pyarrow", "scipy")


def cpu_seconds(*arguments: str) -> float:
    """What a fresh Python process takes in processor time, the least of three."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


SMALLEST_TYPER = """
import typer
app = typer.Typer()
@app.command()
def main(name: str, count: int = 1) -> None: ...
app(['--help'])
"""


def test_help_takes_little_more_than_typer_itself_and_less_than_half_a_second():
    smallest = cpu_seconds("-c", SMALLEST_TYPER)
    for arguments in (("--help",), ("train", "--help")):
        found = cpu_seconds("-m", "errata", *arguments)
        assert found < 3 * smallest
        if os.getloadavg()[0] < os.cpu_count():  # on a machine that is busy with other work, seconds say nothing
            assert found < 0.5
    assert cpu_seconds("-c", "import errata") < 0.5 * smallest


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = f"import errata, errata.cli, sys; print([m for m in {HEAVY} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(run, name):
    told = run(name, "--help")
    assert told.code == 0
    assert f"errata {name} " in told.out.split("Example", 1)[1]
    for option in ("--json", "--quiet", "--verbose", "--traceback"):
        assert option in told.out


def test_help_lists_the_commands_the_main_job_first(run):
    told = run("--help")
    assert told.code == 0
    lines = [line.split()[1] for line in told.out.splitlines() if line.startswith("│ ")]
    assert [word for word in lines if word in COMMANDS] == COMMANDS
    assert COMMANDS[:2] == ["demo", "audit"]
    assert {"train", "predict", "noise", "systems", "bench"} <= set(COMMANDS)


def test_version(run):
    import errata

    assert run("--version").out.strip() == f"errata {errata.__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nosuch",),
        ("audit",),
        ("train", "a.csv", "--epochs", "0"),
        ("audit", "a.csv", "--folds", "x"),
        ("systems", "--nosuch"),
    ],
)
def test_wrong_usage_exits_2(run, arguments):
    told = run(*arguments)
    assert told.code == 2
    assert not told.out
    assert "Usage" in told.err


def failing(error: BaseException):
    """An app whose only command fails with ``error``."""
    broken = typer.Typer(pretty_exceptions_enable=False)

    @broken.command()
    @command
    def fail(talk: Talk) -> None:
        print("a library's chatter")
        raise error

    return broken


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DataError("a.csv is empty."), 1, "a.csv is empty."),
        (ParameterError("rate must be in [0, 1]."), 2, "rate must be in [0, 1]."),
        (MemoryError(), 1, "memory does not suffice"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 1, "memory does not suffice"),
        (OSError(errno.ENOSPC, "No space left on device", "out/a"), 1, "The disk is full: out/a"),
        (OSError(errno.EFBIG, "File too large", "out/a"), 1, "The disk is full: out/a"),
        (
            PermissionError(errno.EACCES, "Permission denied", "out/a"),
            1,
            "out/a can't be opened for want of permission",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.npy"), 1, "There is no a.npy"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), 1, "the disk is full"),
        (ZeroDivisionError("division by zero"), 1, "did not expect, ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), 130, "Stopped. Nothing was written."),
        (
            KeyboardInterrupt("Stopped in epoch 3.\nResume with --resume."),
            130,
            "Stopped in epoch 3. Resume with --resume.",
        ),
    ],
)
def test_every_error_is_one_paragraph_on_stderr_with_its_exit_code(capsys, error, code, says):
    with pytest.raises(SystemExit) as end:
        failing(error)([])
    told = capsys.readouterr()
    assert end.value.code == code
    assert told.out == ""
    assert says in told.err
    assert "Traceback" not in told.err
    assert len([line for line in told.err.splitlines() if "chatter" not in line]) == 1


def test_traceback_shows_where_an_unexpected_error_came_from(capsys):
    with pytest.raises(SystemExit):
        failing(ZeroDivisionError("division by zero"))(["--traceback"])
    assert "test_app.py" in capsys.readouterr().err


def test_an_error_with_brackets_is_shown_as_it_is(capsys):
    with pytest.raises(SystemExit):
        failing(DataError("expected [/bold] and [red]; got [0, 1]"))([])
    assert "expected [/bold] and [red]; got [0, 1]" in capsys.readouterr().err


@pytest.mark.parametrize("options", [(), ("--json", "--quiet")])
def test_a_reader_who_stops_reading_is_no_error(options):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "errata", "systems", *options],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.stderr == ""


def test_explain_knows_errors_without_a_file_name():
    assert explain(OSError(errno.ENOSPC, "No space left on device")).startswith("The disk is full: a file")
