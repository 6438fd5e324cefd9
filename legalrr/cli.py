"""Command line `legalrr`: runs sub-commands, and passes anything else to Hydra.

`legalrr --help` imports neither Hydra nor any sub-command.
"""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from textwrap import fill
from types import FrameType
from typing import NoReturn

from legalrr.errors import OneLineFormatter, UserError, one_line
from legalrr.paths import conf_folders

COMMANDS = {
    "data": ("legalrr.corpora.cli", "list, fetch and check corpora"),
    "segment": ("legalrr.segment.cli", "rhetorical roles: tag judgments, show, train and evaluate taggers"),
    "models": ("legalrr.backbones.catalogue", "list the backbones: licence, context, memory, files"),
    "report": ("legalrr.report.cli", "rebuild tables, figure and page of runs from their predictions"),
    "explain": ("legalrr.score.explanation", "score generated explanations against the court's own text"),
    "leakage": ("legalrr.leakage.cli", "measure what a backbone predicts from parts of the visible text"),
    "audit": ("legalrr.audit.cli", "check published tables of rates"),
    "prime": ("legalrr.hybrids.cli", "train the Gated KalmaNet layers of a hybrid model"),
}
"""Sub-command -> module of its `main`, and description."""
GROUPS = (
    "experiment",
    "arm",
    "corpus",
    "segment",
    "backbone",
    "restructure",
    "annotate",
    "predict",
    "verdict",
    "score",
    "measure",
)
USAGE = """\
legalrr: does structuring a judgment help a language model predict its outcome?

usage: legalrr [-m] GROUP=CHOICE OPTION=VALUE ...     run an experiment (a Hydra application)
       legalrr COMMAND ...                            run a sub-command; legalrr COMMAND --help describes it

Examples:
  legalrr experiment=quickstart                 every arm on the included judgments (as `make sweep` does)
  legalrr experiment=paper corpus=lawai50,marro the study's eight arms on real judgments
  legalrr arm=dr corpus=build limit=6           one cell
  legalrr -m arm=plain,d,r,c seed=1             a sweep: commas separate the values of an axis
  legalrr data list                             the corpora, and which of them are available
"""
FOOTER = """\
legalrr arm=rc --help lists all options of these choices; each can be overridden (annotate.tokens.analysis=256).
legalrr arm=rc --cfg job prints the configuration without running it. LEGALRR_CONF names a folder with your own choices.
Results go to runs/; the same command resumes an interrupted run.
Shell completion: eval "$(legalrr -sc install=bash)", or zsh, or fish.
"""
WIDTH = 120


def main() -> None:
    """Run the command line in sys.argv; exit with status 2 and a one-line message for bad input, 130 if interrupted."""
    arguments = sys.argv[1:]
    if arguments in ([], ["-h"], ["--help"]):
        _run_and_exit("legalrr", _print_help)
    name = arguments[0]
    if name in COMMANDS:
        run_command(name, arguments[1:])
    # `limit = 4` is refused with its cure by run_hydra.
    spaced = arguments[1:] and arguments[1].startswith("=")
    if "=" not in name and name[0] not in "-+~" and not spaced:
        near = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        cure = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
        print(f"legalrr: {name!r} is neither a command nor an override OPTION=VALUE ({cure})", file=sys.stderr)
        sys.exit(2)
    run_experiment()


def run_experiment() -> NoReturn:
    """Run an experiment with Hydra, and exit.

    Status 0, 2 with a one-line message for bad input, 130 if interrupted, 143 if terminated.
    """
    with _signals_raised():
        sys.exit(_experiment_status())


def _experiment_status() -> int:
    from hydra.core.plugins import Plugins

    # Its first use executes Hydra's own plugin modules again, and with them the base classes of those imported before.
    plugins = Plugins.instance()

    from hydra_plugins.checked_sweeper import CheckedSweeper
    from hydra_plugins.together_launcher import TogetherLauncher
    from legalrr.configuration import run_hydra
    from legalrr.run.prefetch import Job

    job = Job()
    for plugin in (CheckedSweeper, TogetherLauncher):
        plugins.register(plugin)
    status, ended = 0, False
    try:
        run_hydra(job, "config")
        ended = True
        if job.failures:
            status = 2
            _print_failures(job.failures)
    except UserError as error:
        status = 2
        _print_failures(job.failures or [("", str(error))])
    except KeyboardInterrupt as interrupt:
        status = _print_interrupt("legalrr", interrupt)
    finally:
        for folder in job.folders:
            try:
                _print_summary(folder, tables=not ended)
            except UserError as error:
                status = 2 if status == 0 else status
                print(f"legalrr: {error}", file=sys.stderr)
    return status


def _print_failures(failures: list[tuple[str, str]]) -> None:
    """Print one line per distinct message of failures, given as (cell, message)."""
    for message in dict.fromkeys(message for _, message in failures):
        cells = [number for number, text in failures if text == message]
        which = f"cells {', '.join(cells)}: " if len(failures) > 1 else ""
        print(f"legalrr: {which}{one_line(' '.join(message.split()))}", file=sys.stderr)


def _print_summary(folder: Path, *, tables: bool) -> None:
    """Print the tables of a sweep or a single cell, write its page, and print the paths; nothing without cells.

    `tables` writes the tables too: Hydra's callback does so at the end of a sweep, but not if it is interrupted.
    """
    from legalrr.report.load import find_cells
    from legalrr.report.sweep import show, write_page, write_report

    if not find_cells(folder):
        return
    report = show(folder)
    if tables:
        write_report(report, folder)
    page = write_page(report, [folder], folder)
    # A cell may have run in another process: its run.json has the counts.
    calls = {name: sum(cell.run.get("calls", {}).get(name, 0) for cell in report.cells) for name in ("made", "stored")}
    print(f"\nmodel calls: {calls['made']} made, {calls['stored']} from the store")
    results = folder / "results.md"
    print(f"report: {results if results.exists() else folder}\npage: {page}")


class Terminated(KeyboardInterrupt):
    """The process received a signal to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Raise Terminated for SIGTERM, and for SIGHUP where it exists, so that they end a run as Ctrl-C does.

    A second signal ends the process at once. A signal that the parent process had ignored (nohup) stays ignored.
    """

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated(number)

    # Python sets signal handlers in the main thread only.
    names = ("SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    handled = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in handled}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is signal.SIG_DFL:
                signal.signal(number, handler)


def _print_interrupt(name: str, interrupt: KeyboardInterrupt) -> int:
    """Print how to resume, and return the exit status."""
    ended, status = ("terminated", interrupt.status) if isinstance(interrupt, Terminated) else ("interrupted", 130)
    print(f"{name}: {ended}; run the same command again to resume", file=sys.stderr)
    return status


def renamed() -> None:
    """Run a command by its former name (`legalrr-data`), and print the new name on standard error."""
    former = Path(sys.argv[0]).stem
    name = former.removeprefix("legalrr-")
    print(f"{former} will be removed in the next release: use `legalrr {name}`", file=sys.stderr)
    run_command(name, sys.argv[1:])


def run_command(name: str, arguments: list[str]) -> None:
    """Run a sub-command and exit: status 0, 2 with a one-line message for a UserError, 130 or 143 if interrupted."""
    # Commands read sys.argv: Hydra by itself, argparse by default.
    sys.argv = [f"legalrr {name}", *arguments]
    _log_to_stderr()
    _run_and_exit(f"legalrr {name}", lambda: import_module(COMMANDS[name][0]).main())


def _log_to_stderr() -> None:
    """Print warnings of all sub-commands as one line each; conf/hydra/default.yaml does so for those that use Hydra."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler])


def _run_and_exit(name: str, function: Callable[[], None]) -> NoReturn:
    status = 0
    with _signals_raised():
        try:
            function()
        except UserError as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 2
        except KeyboardInterrupt as interrupt:
            status = _print_interrupt(name, interrupt)
    sys.exit(status)


def _print_help() -> None:
    folders = conf_folders()
    print(USAGE)
    print("Commands:")
    for name, (_, what) in COMMANDS.items():
        print(f"  {name:<10}{what}")
    print("\nChoices (GROUP=CHOICE):")
    for group in GROUPS:
        found = ", ".join(sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")}))
        print(fill(f"{group}: {found}", WIDTH, initial_indent="  ", subsequent_indent="    "))
    print(f"\n{FOOTER}", end="")
