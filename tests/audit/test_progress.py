import io

from errata.audit import progress as module
from errata.audit.progress import Progress


def test_silence_says_nothing(capfd):
    with Progress(False, "work", total=2) as bar:
        bar.advance()
    assert capfd.readouterr() == ("", "")


def test_without_a_terminal_short_work_says_nothing(capfd):
    with Progress(True, "work", total=2) as bar:
        bar.advance()
        bar.advance()
    assert capfd.readouterr() == ("", "")


def test_without_a_terminal_long_work_says_a_line_on_the_error_stream(capfd, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with Progress(True, "work", total=4) as bar:
        for _ in range(4):
            now[0] += 20
            bar.advance()
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["work: 50%", "work: 100%"]


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    from rich import console

    stream, real = io.StringIO(), console.Console

    monkeypatch.setattr(console, "Console", lambda **_: real(file=stream, force_terminal=True, width=100))
    with Progress(True, "cross-validation", total=2) as bar:
        bar.advance()
        bar._bar.refresh()
    assert "cross-validation" in stream.getvalue()
    assert "50%" in stream.getvalue()


def test_more_than_the_total_is_the_total():
    heard = []
    with Progress(lambda share, what: heard.append(share), "work", total=1) as bar:
        bar.advance(0.7)
        bar.advance(0.7)
    assert heard == [0.0, 0.7, 1.0]
