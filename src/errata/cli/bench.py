"""`errata bench`: run a system's claim, from the project's benchmarks folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from errata.cli._command import command
from errata.cli._talk import Talk
from errata.errors import ErrataError, UnknownNameError

__all__ = ["bench"]

CLAIMS = Path("benchmarks") / "claims"


@command
def bench(
    talk: Talk,
    slug: Annotated[str, typer.Argument(help="The system whose claim is measured.", show_default=False)],
    more: Annotated[
        list[str] | None, typer.Argument(help="Passed on to the benchmark, after --.", show_default=False)
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds; the claim's own number by default.")] = None,
) -> None:
    """Measure a system's claim against its baseline, here. Needs the project's source: its benchmarks folder.

    Example:

      errata bench elr --seeds 3
    """
    script = _find(slug)
    arguments = [sys.executable, str(script), *(["--seeds", str(seeds)] if seeds else []), *(more or [])]
    talk.note(f"Running {script}")
    done = subprocess.run(arguments, stdout=sys.stderr if talk.json else None, check=False)
    if done.returncode:
        raise ErrataError(f"The benchmark {script} ended with exit code {done.returncode}; what it said stands above.")
    talk.result({"slug": slug, "script": str(script), "results": str(script.parent.parent / "results")})


def _find(slug: str) -> Path:
    """The claim's script, from the current folder or one above it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        claims = folder / CLAIMS
        if claims.is_dir():
            scripts = {p.stem.replace("_", "-"): p for p in sorted(claims.glob("*.py")) if not p.stem.startswith("_")}
            if slug not in scripts:
                raise UnknownNameError("claim", slug, scripts, f"Each is a file in {claims}.")
            return scripts[slug]
    raise ErrataError(
        f"There is no folder {CLAIMS} in {here} or above it. The benchmarks are part of the project's source, not "
        "of the installed package: clone it, and run this command from there."
    )
