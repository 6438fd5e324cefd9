"""Commands in processes of their own, whose standard streams and rights a test changes."""

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PRELOADED = [
    "hydra",
    "legalrr.corpora.cli",
    "legalrr.hiding.hide",
    "legalrr.run.prefetch",
    "legalrr.report.figures",
    "legalrr.report.html.page",
    "legalrr.report.sweep",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "sklearn.metrics",
]
PROGRAM = """
import os, sys
os.chdir({folder!r})
sys.argv = {arguments!r}
for number, name in enumerate(("out", "err"), start=1):
    opened = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(opened, number)
    os.close(opened)
{setup}
from legalrr.cli import main
main()
"""
QUICK = ("arm=direct", "backbone=echo", "limit=2", "score.resamples=99", "score.permutations=99")
UNPRIVILEGED = """
import ctypes
# Capabilities 1 and 2 let root read and write everything; without them its files have the modes of a user's.
libc, header, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(header, sets) == 0
sets[0] &= ~0b110
assert libc.capset(header, sets) == 0
"""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended."""

    status: int | None
    out: str
    err: str

    def fault(self) -> str:
        """Return the one line that names the fault; fail if there is a traceback, a warning or a further line."""
        work = ("/s)", "judgments, ", "[0] ", "[1] ", "[2] ")
        lines = [line for line in self.err.splitlines() if not any(part in line for part in work)]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("legalrr"), self.err
        assert self.status == 2
        return lines[0]


Command = Callable[..., Ended]


@pytest.fixture(scope="session")
def fork_server() -> multiprocessing.context.ForkServerContext:
    """Server of processes with imported libraries."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


@pytest.fixture
def command(fork_server: multiprocessing.context.ForkServerContext, tmp_path: Path) -> Command:
    """Return a function (arguments, setup="", unprivileged=False) that runs a command in `tmp_path`.

    `setup` is Python code that runs before the command, with its standard streams. With `unprivileged`, the modes of
    files hold for root, too.
    """

    def run(*arguments: object, setup: str = "", unprivileged: bool = False) -> Ended:
        words = ["legalrr", *map(str, arguments)]
        if unprivileged and os.geteuid() == 0:
            setup += UNPRIVILEGED
        program = PROGRAM.format(folder=str(tmp_path), arguments=words, setup=setup)
        process = fork_server.Process(target=exec, args=(program, {}))
        process.start()
        process.join()
        out, err = ((tmp_path / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
        return Ended(status=process.exitcode, out=out, err=err)

    return run


@pytest.fixture
def finished(command: Command, tmp_path: Path) -> Callable[[], Path]:
    """Return a function that runs a cell and returns its folder."""

    def run() -> Path:
        assert command(*QUICK, "runs=runs").status == 0
        (scores,) = (tmp_path / "runs").glob("single/*/scores.json")
        return scores.parent

    return run
