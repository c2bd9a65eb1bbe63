"""`errata federate`: one model over clients whose data stay apart; simulated, or for real with `serve` and `join`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._places import output_folder, stem_of
from errata.cli._talk import Talk
from errata.errors import ParameterError

if TYPE_CHECKING:
    from errata.engine.federated.run import FederatedRun

__all__ = ["federate"]

RUN = "run"


class _WithDefault(TyperGroup):
    """`errata federate SOURCE` is `errata federate run SOURCE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [RUN, *args]
        return super().parse_args(ctx, args)


federate = typer.Typer(
    cls=_WithDefault,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train one model over clients whose data stay apart. `errata federate SOURCE --clients 10` simulates them "
    "(see `errata federate run --help`); `serve` and `join` are the two sides of a real federation.",
)

System = Annotated[str, typer.Option(help="fedlabel or fedavg; `errata systems --task federated` tells more.")]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds of communication.")]
Fraction = Annotated[float, typer.Option(min=0, max=1, help="Share of the clients that take part in a round.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last whole round in --out.")]
Token = Annotated[
    Path | None, typer.Option(help="A file with a secret that server and clients share.", show_default=False)
]
WaitFor = Annotated[float, typer.Option(min=0, help="Seconds to wait for the other side.")]


@federate.command(RUN)
@command
def run(
    talk: Talk,
    source: options.Source,
    label: options.Label = None,
    clients: Annotated[
        int | None, typer.Option(min=1, help="Simulate so many clients: deal the rows out.", show_default=False)
    ] = None,
    client_column: Annotated[
        str | None, typer.Option(help="The column that says whose a row is.", show_default=False)
    ] = None,
    system: System = "fedlabel",
    settings: options.Settings = None,
    rounds: Rounds = 20,
    fraction: Fraction = 1.0,
    labelled: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Hide all but this share of the labels.", show_default=False),
    ] = None,
    alpha: Annotated[float, typer.Option(help="How evenly classes are dealt out; small is uneven.")] = 0.1,
    test: Annotated[
        str | None, typer.Option(help="The server's data, with right labels, to measure on.", show_default=False)
    ] = None,
    test_share: Annotated[
        float, typer.Option(min=0, max=0.9, help="Without --test, the share of labelled rows kept for that.")
    ] = 0.15,
    model: options.Model = "auto",
    engine: Annotated[str, typer.Option(help="local (this process), or flower (its simulation, on Ray).")] = "local",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    out: options.OutFolder = None,
    resume: Resume = False,
    how: options.Reading = options.READING,
) -> None:
    """Train over clients on this machine: simulated ones, those that a column names, or a folder of clients.

    A row without a label is an unlabelled sample; FedLabel learns from it too. The folder gets the global model, a row
    per client and the course of the rounds; each client's own ledger is below clients/.

    Examples:

      errata federate photos.parquet --label class --clients 20 --labelled 0.1 --rounds 50

      errata federate visits.csv --label diagnosis --client-column hospital --out run

      errata federate hospitals/ --label diagnosis --system fedavg     (hospitals/<name>.csv, or a folder for each)
    """
    from errata.engine.federated import train
    from errata.engine.federated.run import CLIENTS
    from errata.engine.run import FILES

    parameters = options.assignments(settings)
    reading = how.given()
    options.required_out(resume, out)
    from errata.data.clients import read_clients

    given = read_clients(
        source,
        label,
        clients=clients,
        client_column=client_column,
        alpha=alpha,
        labelled=labelled,
        test_share=0.0 if test is not None or (clients is None and client_column is None) else test_share,
        seed=seed,
        **reading,
    )
    for sentence in given.describe():
        talk.note(sentence)
    hint = "Choose another --out, or go on with that run: --resume."
    taken = (*FILES, CLIENTS)
    folder = output_folder(talk, out, f"{stem_of(source)}-{system}", taken_by=taken, replace=resume, hint=hint)
    talk.on_interrupt = f"To go on from the last whole round, run the same command with --out {folder} --resume."
    done = train(
        given,
        label=label,
        system=system,
        rounds=rounds,
        fraction=fraction,
        test=test,
        model=model,
        engine=engine,
        seed=seed,
        device=device,
        out=folder,
        resume=resume,
        progress=talk.progress,
        **reading,
        **parameters,
    )
    _show(talk, done, folder)
    talk.say(f"\nNext: errata predict {folder} SOURCE --out predictions.csv, or errata review {folder}/clients/NAME")


_HOW = """Where the SuperLink is, and where each client is, with errata installed:

  flower-superlink --insecure --disable-runtime-dependency-installation
  flower-supernode --insecure --superlink HOST:8000 --node-config CONFIG
  flwr run {app} SUPERLINK

CONFIG says where a client's data are, and its folder:

  'source="visits.csv" label="diagnosis" out="mine" name="Oslo"'

Run the app again to go on from the last whole round. Without --insecure both
sides need TLS; see their --help."""


@federate.command("serve")
@command
def serve(
    talk: Talk,
    source: options.Source,
    label: options.Label = None,
    system: System = "fedlabel",
    settings: options.Settings = None,
    rounds: Rounds = 20,
    clients: Annotated[int, typer.Option(min=1, help="Clients that must be there for a round to begin.")] = 2,
    fraction: Fraction = 1.0,
    classes: Annotated[
        str | None,
        typer.Option(help="The classes, a,b,c, where the server's rows don't show all.", show_default=False),
    ] = None,
    model: options.Model = "auto",
    host: Annotated[str, typer.Option(help="Where to listen; another than this machine needs --certificates.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where to listen.")] = 8080,
    certificates: Annotated[
        Path | None, typer.Option(help="A folder with ca.pem, server.pem, server.key: TLS.", show_default=False)
    ] = None,
    token: Token = None,
    wait_for: WaitFor = 600,
    round_timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which a round goes on without the late.")
    ] = None,
    app: Annotated[
        Path | None,
        typer.Option(help="Don't serve: write a Flower app into this folder, for `flwr run`.", show_default=False),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    out: options.OutFolder = None,
    resume: Resume = False,
    how: options.Reading = options.READING,
) -> None:
    """Be the server of a real federation. SOURCE is its own data: labelled rows like the clients', to measure on.

    Only weights and sums come from the clients. One that dies or is late is left out of that round. A server that was
    stopped goes on with --resume, and clients that are still running come back to it.

    Examples:

      errata federate serve bench.csv --label diagnosis --clients 3 --rounds 50 --out server

      errata federate serve bench.csv --label diagnosis --host 0.0.0.0 --certificates tls/ --token secret.txt

      errata federate serve bench.csv --label diagnosis --out server --app app     (for Flower's SuperLink)
    """
    from errata.engine.federated import serve as start
    from errata.engine.federated import write_app
    from errata.engine.run import FILES

    parameters = options.assignments(settings)
    reading = how.given()
    options.required_out(resume, out, "server")
    shared: dict[str, Any] = {
        "system": system,
        "rounds": rounds,
        "clients": clients,
        "fraction": fraction,
        "classes": None if classes is None else [name.strip() for name in classes.split(",") if name.strip()],
        "model": model,
        "wait_for": wait_for,
        "round_timeout": round_timeout,
        "seed": seed,
        "device": device,
        **reading,
        **parameters,
    }
    if app is not None:
        if token is not None or certificates is not None:
            raise ParameterError("With --app, TLS and authentication are Flower's: see flower-superlink --help.")
        made = write_app(app, source, label, out=out or Path(f"{stem_of(source)}-server"), **shared)
        talk.say(_HOW.format(app=made))
        talk.paths({"app": made})
        talk.result({"app": str(made)})
        return
    hint = "Choose another --out, or go on with that federation: --resume."
    folder = output_folder(talk, out, f"{stem_of(source)}-server", taken_by=FILES, replace=resume, hint=hint)
    talk.on_interrupt = f"To go on from the last whole round, run the same command with --out {folder} --resume."
    talk.note(f"Waiting for {clients} clients: errata federate join --server {host}:{port} SOURCE --out DIR")
    done = start(
        source,
        label,
        host=host,
        port=port,
        certificates=certificates,
        token=token,
        out=folder,
        resume=resume,
        progress=talk.progress,
        verbose=talk.verbose,
        **shared,
    )
    _show(talk, done, folder)


@federate.command("join")
@command
def join(
    talk: Talk,
    source: options.Source,
    server: Annotated[str, typer.Option(help="HOST:PORT of the server.", show_default=False)],
    label: options.Label = None,
    name: Annotated[
        str | None, typer.Option(help="This client's name, told to the server.", show_default="folder@machine")
    ] = None,
    root_certificate: Annotated[
        Path | None, typer.Option(help="The CA's certificate (PEM): TLS.", show_default=False)
    ] = None,
    token: Token = None,
    wait_for: WaitFor = 600,
    device: options.Device = "auto",
    out: options.OutFolder = None,
    how: options.Reading = options.READING,
) -> None:
    """Take part in a federation with the data at hand. They stay here, and so does the ledger that is made of them.

    Examples:

      errata federate join visits.csv --label diagnosis --server 127.0.0.1:8080 --out mine
    """
    from errata.cli._show import ledger_panel
    from errata.engine.federated import join as take_part

    reading = how.given()
    hint = "It is another result, not a client's; choose another --out."
    folder = output_folder(talk, out, f"{stem_of(source)}-client", taken_by=("run.json", "model.pt"), hint=hint)
    talk.on_interrupt = f"Left the federation. To come back, run the same command with --out {folder}."
    ledger = take_part(
        source,
        label,
        server=server,
        out=folder,
        name=name,
        root_certificate=root_certificate,
        token=token,
        wait_for=wait_for,
        device=device,
        tell=talk.note,
        verbose=talk.verbose,
        **reading,
    )
    talk.say(ledger_panel(ledger, "This client's ledger"))
    talk.paths({"report": folder / "report.html", "ledger": folder / "ledger.parquet"})
    talk.result(
        {
            "out": str(folder),
            "rows": len(ledger),
            "labelled": int((ledger.given >= 0).sum()),
            "issues": int(ledger.issue.sum()),
        }
    )


def _show(talk: Talk, done: FederatedRun, folder: Path) -> None:
    from rich.table import Table

    table = Table(title="Round by round", title_justify="left")
    names = {
        "round": "round",
        "clients": "clients",
        "failed": "dropped out",
        "test_accuracy": "accuracy",
        "pass_rate": "passed",
        "local_share": "labelled by own model",
    }
    for words in names.values():
        table.add_column(words, justify="right")
    shown = done.history if len(done.history) <= 10 else [*done.history[:: max(1, len(done.history) // 9)]]
    for record in shown if shown and shown[-1] is done.history[-1] else [*shown, *done.history[-1:]]:
        table.add_row(*(_cell(record.get(name)) for name in names))
    talk.say(table)
    paths = {"run": folder, "report": folder / "report.html"}
    if done.ledgers:
        paths["clients"] = folder / "clients"
    talk.paths(paths)
    content = {"out": str(folder), "metrics": done.metrics, "history": done.history}
    if done.ledgers:
        content["clients"] = {name: str(folder / "clients" / own) for name, own in done.about["client_folders"].items()}
    talk.result(content)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
