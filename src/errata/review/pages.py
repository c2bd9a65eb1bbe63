"""The pages: what a reviewer sees, made from the queue and the content by templates that escape everything."""

from __future__ import annotations

import hashlib
import math
import secrets
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from errata.audit.rows import SINGLE
from errata.labels import MISSING
from errata.review.agreement import Agreement
from errata.review.content import Content
from errata.review.decisions import Decision
from errata.review.drawing import can_draw, sheet
from errata.review.filters import SHOW, Filter
from errata.review.finer import Finer
from errata.review.guard import BODY
from errata.review.queue import Queue

__all__ = ["STATIC", "Card", "Pages", "environment"]

_STYLE, _SCRIPT = "text/css; charset=utf-8", "text/javascript; charset=utf-8"
SCRIPTS = ("review.js", "draw.js", "draw-boxes.js", "draw-masks.js", "draw-tokens.js")
STATIC = {"review.css": _STYLE, "draw.css": _STYLE, **dict.fromkeys(SCRIPTS, _SCRIPT)}
"""What is served of the package's own files, and nothing else of any folder."""

DISPUTED = 200
PAIRS = 12
LONGEST = 90  # characters of a label in a sentence
ROOM = 16_384  # bytes of a form besides what was drawn: the note
DRAW = {"boxes": "Draw boxes", "segmentation": "Paint mask", "tokens": "Mark tokens"}
WORDS = {"keep": "kept", "relabel": "relabelled", "drop": "dropped", "skip": "skipped"}


@dataclass(frozen=True)
class Card:
    """A row as the page shows it.

    Parameters
    ----------
    row, position : what it is called, and where it is in the ledger
    rank : its place in the ledger's order, from 1
    given, proposed : class names; None where there is none
    trust : P(given label is right); None without a label
    flagged : whether the ledger calls it an issue
    look : its content
    parts : its finer rows that look wrong, the worst first
    doubts : the same where the row's label is no class, to be chosen among
    take : what is posted to take the proposal: the class, or the label's text
    draw : what its label can be drawn as: "boxes", "segmentation", "tokens"; "" where it can't
    own : what this reviewer decided on it, if anything
    others : what others decided, where this reviewer may know
    """

    row: Any
    position: int
    rank: int
    given: str | None
    proposed: str | None
    trust: float | None
    flagged: bool
    look: Any
    parts: list[dict[str, Any]]
    doubts: list[Any]
    take: str
    draw: str
    own: Decision | None
    others: list[Decision]


def environment() -> Environment:
    """The templates, compiled: that takes a moment, which can be spent while the ledger is read."""
    env = Environment(
        loader=PackageLoader("errata.review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(number=_number, percent=_percent, kappa=_kappa)
    for name in env.list_templates():
        env.get_template(name)
    return env


class Pages:
    """Renders pages.

    Parameters
    ----------
    queue, content : what they are about
    title : what is reviewed, for people
    env : the templates, where ``environment`` was called already
    """

    def __init__(self, queue: Queue, content: Content, title: str, env: Environment | None = None) -> None:
        self.queue, self.content, self.title = queue, content, title
        self.static = {name: (files("errata.review") / "static" / name).read_bytes() for name in STATIC}
        self._env = env if env is not None else environment()
        version = hashlib.sha256(b"".join(self.static.values())).hexdigest()[:12]
        self._env.globals.update(title=title, version=version, words=WORDS, draws=DRAW, shows=SHOW)
        self._env.globals.update(scripts=SCRIPTS, label_of=self.label_of, most=BODY - ROOM)

    # -- reviewing ----------------------------------------------------------------------------------------------------

    def work(self, reviewer: str, csrf: str, choice: Filter, position: int | None, said: str = "") -> str:
        """The part of the page that changes from row to row: how far the review is, and the row."""
        return self._render("work.html.j2", **self._work(reviewer, csrf, choice, position, said))

    def review(self, reviewer: str, csrf: str, choice: Filter, position: int | None, said: str = "") -> str:
        """The whole page."""
        return self._render(
            "review.html.j2",
            **self._work(reviewer, csrf, choice, position, said),
            classes=self.queue.classes,
            pairs=self.confused,
            reviewers=self.queue.record.reviewers(),
            annotators=self.queue.annotated.names,
        )

    def _work(self, reviewer: str, csrf: str, choice: Filter, position: int | None, said: str) -> dict[str, Any]:
        progress = self.queue.progress(reviewer)
        query = choice.query(self.queue.classes)
        return {
            "reviewer": reviewer,
            "csrf": csrf,
            "key": secrets.token_hex(8),
            "choice": choice,
            "query": f"?{query}" if query else "",
            "progress": progress,
            "share": 100.0 * progress.done / progress.goal if progress.goal else 100.0,
            "card": None if position is None else self.card(position, reviewer),
            "waiting": self.queue.waiting(reviewer),
            "last": self.queue.record.last(reviewer),
            "state": self.content.state,
            "about_content": self.content.said,
            "about_labels": "" if self.queue.wholes is None else self.queue.wholes.said,
            "free": self.queue.free,
            "overlap": self.queue.overlap,
            "budget": self.queue.order is not self.queue.ledger.order,
            "said": said,
        }

    def card(self, position: int, reviewer: str) -> Card:
        """Everything on one row that this reviewer may know."""
        queue, ledger = self.queue, self.queue.ledger
        given, proposed = queue.labels(position)
        trust = float(ledger.trust[position])
        opinions = queue.opinions(position)
        wholes = queue.wholes
        doubts = [] if wholes is None else wholes.doubts(position)
        take = "" if wholes is None else wholes.proposal(position)
        look = self.content.look(position)
        others = [d for d in opinions if d.reviewer != reviewer] if queue.may_see_others(position, reviewer) else []
        return Card(
            queue.row(position),
            position,
            int(queue.rank[position]) + 1,
            given,
            proposed,
            None if math.isnan(trust) else trust,
            bool(ledger.issue[position]),
            look,
            [] if doubts else self.finer.of(queue.row(position)),
            doubts,
            take or proposed or "",
            can_draw(None if wholes is None else wholes.form, look),
            next((d for d in opinions if d.reviewer == reviewer), None),
            others,
        )

    def sheet(self, position: int, reviewer: str) -> dict[str, Any] | None:
        """What a reviewer needs to draw a row's label; None where it can't be drawn."""
        form = None if self.queue.wholes is None else self.queue.wholes.form
        if form is None or not can_draw(form, self.content.look(position)):
            return None
        last = self.queue.record.latest(reviewer, self.queue.row(position))
        return sheet(form, position, None if last is None else last.label)

    def label_of(self, decision: Decision) -> str:
        """The new label of a decision, in short."""
        label, wholes = decision.label or "", self.queue.wholes
        return _short(label if wholes is None else wholes.shown(self.queue.position(decision.row), label))

    def told(self, decision: Decision) -> str:
        """A decision in a few words: "Row 17 relabelled as dog."."""
        label = "" if decision.label is None else f" as {self.label_of(decision)}"
        return f"Row {decision.row} {WORDS[decision.action]}{label}."

    @cached_property
    def finer(self) -> Finer:
        """The finer rows beneath the ledger's."""
        return Finer(self.queue.ledger)

    @cached_property
    def confused(self) -> list[tuple[str, str, int]]:
        """The pairs (given, proposed) with the most issues, and how many."""
        import numpy as np

        if self.queue.classes == SINGLE:
            return []
        ledger, k = self.queue.ledger, len(self.queue.classes)
        some = ledger.issue & (ledger.given != MISSING) & (ledger.proposed != MISSING)
        codes, counts = np.unique(ledger.given[some].astype(np.int64) * k + ledger.proposed[some], return_counts=True)
        best = np.argsort(-counts, kind="stable")[:PAIRS]
        names = self.queue.classes
        return [(names[codes[i] // k], names[codes[i] % k], int(counts[i])) for i in best]

    # -- the other pages ----------------------------------------------------------------------------------------------

    def agreement(self, reviewer: str, agreement: Agreement) -> str:
        """Who decided how much, and how far they agree."""
        disputed = list(agreement.disputed.items())
        return self._render(
            "agreement.html.j2",
            reviewer=reviewer,
            agreement=agreement,
            progress=self.queue.progress(reviewer),
            disputed=disputed[:DISPUTED],
            more=max(0, len(disputed) - DISPUTED),
            overlap=self.queue.overlap,
            actions=list(WORDS),
        )

    def name(self, csrf: str, suggestion: str, problem: str = "") -> str:
        """Who are you?"""
        return self._render(
            "name.html.j2",
            csrf=csrf,
            suggestion=suggestion,
            problem=problem,
            reviewers=self.queue.record.reviewers(),
            overlap=self.queue.overlap,
        )

    def message(self, said: str) -> str:
        """One paragraph, and the way back."""
        return self._render("message.html.j2", said=said)

    def _render(self, template: str, **values: Any) -> str:
        return self._env.get_template(template).render(**{"reviewer": None, **values})


def _short(text: str) -> str:
    """A label, which may be a long list, cut for a sentence."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _percent(value: float) -> str:
    share = 100.0 * value
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{share:.0f} %" if share in (0, 100) or 1 <= share <= 99 else f"{share:.1f} %"


def _kappa(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
