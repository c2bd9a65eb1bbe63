"""What the site holds beside the written pages: a page per system from its card and results, the reference from the
docstrings, the tutorials' list, and the two documents of the repository's root. ``mkdocs build`` runs this.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mkdocs_gen_files

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from render_results import RenderError, render

from errata import systems
from errata.cards import Card
from errata.kinds import kind_of

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/errata-dev/errata/blob/main/"
PUBLIC = {
    "errata": "The public face",
    "errata.losses": "Losses",
    "errata.losses.functional": "Losses as functions",
    "errata.noise": "Noise",
    "errata.parts": "Parts of systems",
    "errata.models": "Models",
    "errata.data": "Data",
    "errata.testing": "The law of all systems",
    "errata.cards": "Cards",
    "errata.kinds": "Kinds of task",
    "errata.charts": "Charts",
    "errata.findings": "Findings",
    "errata.vouching": "Vouched precision",
    "errata.errors": "Errors",
}

DONE: set[str] = set()
"""What has been documented: a thing has one place, though several modules may name it."""


def write(path: str, text: str) -> None:
    with mkdocs_gen_files.open(path, "w") as page:
        page.write(text)


# -- systems ----------------------------------------------------------------------------------------------------------


def system_page(card: Card) -> str:
    """A system's page: its card, how to run it, its parameters, its claim's figures, its docstring."""
    kind = kind_of(card.task)
    facts = [
        ("Kind of task", kind.name),
        ("Changes", ", ".join(card.changes) or "nothing (a baseline)"),
        ("Needs", ", ".join(card.needs) or "labels"),
        ("A row of its ledger is", f"a {kind.row}"),
    ]
    if card.paper:
        facts.append(("Paper", f"{card.paper}. [arXiv {card.arxiv}](https://arxiv.org/abs/{card.arxiv})"))
    lines = [f"# {card.name}", "", f"{card.summary[:1].upper()}{card.summary[1:]}.", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in facts]
    lines += ["", "```console", f"$ {kind.command.format(slug=card.slug)}", "```", ""]
    lines += parameters(card)
    lines += ["## What was measured", "", *results(card)]
    lines += ["## In full", "", f"::: {card.path.replace(':', '.')}", "    options: {heading_level: 3}", ""]
    return "\n".join(lines)


def parameters(card: Card) -> list[str]:
    """The hyper-parameters with their defaults."""
    found = card.load()
    known: dict[str, Any] = found.hyperparameters() if hasattr(found, "hyperparameters") else keywords(found)
    if not known:
        return []
    rows = [f"| `{name}` | `{shown(default)}` |" for name, default in known.items()]
    return ["## Parameters", "", "| name | default |", "| --- | --- |", *rows, ""]


def keywords(found: Any) -> dict[str, Any]:
    signature = inspect.signature(found)
    return {p.name: p.default for p in signature.parameters.values() if p.default is not p.empty}


def shown(value: Any) -> str:
    return getattr(value, "__name__", repr(value)).replace("|", "\\|")


def results(card: Card) -> list[str]:
    """The tables of every claim in which the system was measured, its own and those of the systems beside it."""
    tables = []
    for file in sorted((ROOT / "benchmarks" / "results").glob("claims-*.json")):
        own = re.fullmatch(rf"claims-{re.escape(card.slug)}(-.*)?", file.stem) and not belongs_to_longer(
            card, file.stem
        )
        if own or card.slug in json.loads(file.read_text(encoding="utf-8"))["result"].get("summary", {}):
            with contextlib.suppress(RenderError):
                tables.append(render(ROOT, file.stem))
    return tables or ["Nothing yet. [Evidence](../evidence.md) tells what was measured of the others.", ""]


def belongs_to_longer(card: Card, stem: str) -> bool:
    """Whether a result's name begins with the slug of another system, of which this one's is a beginning."""
    longer = (c.slug for c in systems.list_systems() if c.slug.startswith(f"{card.slug}-"))
    return any(stem.startswith(f"claims-{slug}") for slug in longer)


# -- reference --------------------------------------------------------------------------------------------------------


def reference_page(name: str, title: str) -> str:
    """One module's reference. The public face and rooms that gather names list what they gather."""
    module = importlib.import_module(name)
    names = [n for n in getattr(module, "__all__", []) if not n.startswith("_")]
    lines = [f"# {title}", "", f"`import {name}`", ""]
    doc = (inspect.getdoc(module) or "").split("\n\n")[0]
    lines += [doc, ""] if doc else []
    for target in sorted({t for n in names if (t := documented(module, n))} - DONE):
        DONE.add(target)
        lines += [f"::: {target}", "    options: {heading_level: 2}", ""]
    return "\n".join(lines)


def documented(module: Any, name: str) -> str | None:
    """Where a class or function of the module's is defined; None for modules and values."""
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"{value.__module__}.{value.__qualname__}"
    return None


# -- the rest ---------------------------------------------------------------------------------------------------------


def titles(folder: Path) -> Iterator[tuple[str, str]]:
    """File names and first headings."""
    for page in sorted(folder.glob("*.md")):
        if page.name != "README.md":
            yield page.name, page.read_text(encoding="utf-8").lstrip("# ").splitlines()[0]


def root_document(name: str) -> str:
    """A document of the repository's root, with its links made to fit."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for link, target in {
        "(ARCHITECTURE.md)": "(architecture.md)",
        "(CONTRIBUTING.md)": "(contributing.md)",
        "(CHANGELOG.md)": f"({REPOSITORY}CHANGELOG.md)",
        "(docs/": "(",
    }.items():
        text = text.replace(link, target)
    return text


def section(folder: str, title: str, pages: list[tuple[str, str]], intro: list[str]) -> None:
    """A section's first page, and the order of its pages."""
    write(f"{folder}/README.md", "\n".join([f"# {title}", "", *intro]) + "\n")
    write(f"{folder}/SUMMARY.md", "\n".join(["- [" + title + "](README.md)", *(f"- [{t}]({f})" for f, t in pages)]))


def main() -> None:
    write("architecture.md", root_document("ARCHITECTURE.md"))
    write("contributing.md", root_document("CONTRIBUTING.md"))
    lines = ["| system | kind | changes | idea |", "| --- | --- | --- | --- |"]
    for card in systems.list_systems():
        DONE.add(card.path.replace(":", "."))
        write(f"systems/{card.slug}.md", system_page(card))
        changes = ", ".join(card.changes) or "–"
        lines.append(
            f"| [{card.slug}]({card.slug}.md) | {kind_of(card.task).name} | {changes} | {card.name}: {card.summary} |"
        )
    section("systems", "Systems", [(f"{c.slug}.md", c.slug) for c in systems.list_systems()], lines)
    reference = [(f"{name}.md", title) for name, title in reversed(PUBLIC.items())]
    for name, title in reversed(PUBLIC.items()):  # the rooms before the face that shows some of their names
        write(f"reference/{name}.md", reference_page(name, title))
    lines = [f"- [{title}]({page}): `{page[:-3]}`" for page, title in reversed(reference)]
    section("reference", "Reference", list(reversed(reference)), ["Made from the docstrings.", "", *lines])
    tutorials = list(titles(ROOT / "docs" / "tutorials"))
    intro = ["Each runs as it stands, on data that come with the installation.", ""]
    section("tutorials", "Tutorials", tutorials, [*intro, *(f"- [{title}]({name})" for name, title in tutorials)])


main()
