"""Command line `legalrr`: runs sub-commands, and passes anything else to Hydra.

`legalrr --help` imports neither Hydra nor any sub-command.
"""

import logging
import os
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

from legalrr.errors import OneLineFormatter, UserError, file_errors, one_line
from legalrr.paths import conf_folders
from legalrr.streams import STDERR, STDOUT, finish_streams, prepare_streams, print_error

COMMANDS = {
    "data": ("legalrr.corpora.cli", "list, fetch and check corpora"),
    "segment": ("legalrr.segment.cli", "rhetorical roles: tag judgments, show, train and evaluate taggers"),
    "models": ("legalrr.backbones.catalogue", "list the backbones: licence, context, memory, engines, files"),
    "plan": ("legalrr.plan.cli", "what an experiment needs: calls, tokens, memory, time, money, power; its prompts"),
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
    "engine",
    "restructure",
    "annotate",
    "predict",
    "verdict",
    "score",
    "measure",
    "workers",
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
  legalrr plan experiment=paper corpus=lawai50  what it needs: calls, tokens, memory, time, power; nothing runs
  legalrr data list                             the corpora, and which of them are available
"""
FOOTER = """\
legalrr arm=rc --help lists all options of these choices; each can be overridden (annotate.tokens.analysis=256).
legalrr plan arm=rc says what it needs, without running it; legalrr arm=rc --cfg job prints the configuration.
LEGALRR_CONF names a folder with your own choices.
Results go to runs/; the same command resumes an interrupted run.
Shell completion: eval "$(legalrr -sc install=bash)", or zsh, or fish.
"""
WIDTH = 120


def main() -> None:
    """Run the command line in sys.argv, and exit.

    Status 0; 2 with a one-line message for bad input and for faults of files, folders and disks; 130 if interrupted;
    143 if terminated; 141 if standard output is a pipe that its reader closed.
    """
    arguments = sys.argv[1:]
    if arguments in ([], ["-h"], ["--help"]):
        _run_and_exit("legalrr", _print_help)
    name = arguments[0]
    if name in COMMANDS:
        run_command(name, arguments[1:])
    # `limit = 4` is refused with its cure by run_hydra.
    spaced = arguments[1:] and arguments[1].startswith("=")
    if "=" not in name and name[0] not in "-+~" and not spaced:
        _run_and_exit("legalrr", lambda: _refuse(name))
    run_experiment()


def _refuse(name: str) -> NoReturn:
    near = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    raise UserError(
        f"{name!r} is neither a command nor an override OPTION=VALUE",
        cure=f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}",
    )


def run_experiment() -> NoReturn:
    """Run an experiment with Hydra, and exit with a status as `main` does."""
    _run_and_exit("legalrr", _experiment_status)


def _experiment_status() -> int:
    from hydra.core.plugins import Plugins

    # Its first use executes Hydra's own plugin modules again, and with them the base classes of those imported before.
    plugins = Plugins.instance()

    from hydra_plugins.checked_sweeper import CheckedSweeper
    from hydra_plugins.submitit_launcher import SubmititLauncher
    from hydra_plugins.together_launcher import TogetherLauncher
    from legalrr.configuration import run_hydra
    from legalrr.run.prefetch import Job

    job = Job()
    for plugin in (CheckedSweeper, TogetherLauncher, SubmititLauncher):
        plugins.register(plugin)
    status = 0
    try:
        with file_errors():
            run_hydra(job, "config")
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
                with file_errors():
                    _print_summary(folder)
            except UserError as error:
                status = 2 if status == 0 else status
                # A full disk that a cell has met is not reported again for the tables.
                if (message := job.message(error)) not in [one for _, one in job.failures]:
                    print_error(f"legalrr: {message}")
    return status


def _print_failures(failures: list[tuple[str, str]]) -> None:
    """Print one line per distinct message of failures, given as (cell, message)."""
    for message in dict.fromkeys(message for _, message in failures):
        cells = [number for number, text in failures if text == message]
        which = f"cells {', '.join(cells)}: " if len(failures) > 1 else ""
        print_error(f"legalrr: {which}{one_line(' '.join(message.split()))}")


def _print_summary(folder: Path) -> None:
    """Write the page of a sweep or a single cell, and the tables of a sweep; print both. Nothing without cells.

    All files are written before anything is printed, as standard output may be closed.
    """
    from legalrr.report.compare import read_report
    from legalrr.report.load import find_cells
    from legalrr.report.sweep import show_report, write_page, write_report

    # Without its folder, a run has failed with an error of its own.
    cells = find_cells(folder) if os.path.isdir(folder) else []
    if not cells:
        return
    report = read_report([folder])
    if cells != [folder]:
        write_report(report, folder)
    page = write_page(report, [folder], folder)
    show_report(report)
    # A cell may have run in another process: its run.json has the counts.
    calls = {name: sum(cell.run.get("calls", {}).get(name, 0) for cell in report.cells) for name in ("made", "stored")}
    print(f"\nmodel calls: {calls['made']} made, {calls['stored']} from the store")
    print(f"report: {folder if cells == [folder] else folder / 'results.md'}\npage: {page}")


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
    print_error(f"{name}: {ended}; run the same command again to resume")
    return status


def renamed() -> None:
    """Run a command by its former name (`legalrr-data`), and print the new name on standard error."""
    former = Path(sys.argv[0]).stem
    name = former.removeprefix("legalrr-")
    prepare_streams()
    print_error(f"{former} will be removed in the next release: use `legalrr {name}`")
    run_command(name, sys.argv[1:])


def run_command(name: str, arguments: list[str]) -> NoReturn:
    """Run a sub-command, and exit with a status as `main` does."""
    # Commands read sys.argv: Hydra by itself, argparse by default.
    sys.argv = [f"legalrr {name}", *arguments]

    def command() -> None:
        _log_to_stderr()
        import_module(COMMANDS[name][0]).main()

    _run_and_exit(f"legalrr {name}", command)


def _log_to_stderr() -> None:
    """Print warnings of all sub-commands as one line each; conf/hydra/default.yaml does so for those that use Hydra."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler])


def _run_and_exit(name: str, function: Callable[[], int | None]) -> NoReturn:
    prepare_streams()
    with _signals_raised():
        try:
            status = _run(name, function)
        finally:
            finish_streams()
    sys.exit(status)


def _run(name: str, function: Callable[[], int | None]) -> int:
    """Run a command, print its error, if any, and return the exit status."""
    try:
        with file_errors():
            try:
                status = function() or 0
            except SystemExit as ended:
                # argparse has printed the help or an error.
                if not isinstance(ended.code, int | None):
                    raise
                status = ended.code or 0
            sys.stdout.flush()
    except UserError as error:
        print_error(f"{name}: {error}")
        return 2
    except KeyboardInterrupt as interrupt:
        return _print_interrupt(name, interrupt)
    except BrokenPipeError as error:
        if error.filename not in (STDOUT, STDERR):
            raise
        # As of a command that SIGPIPE ends.
        return 141
    return status


def _is_former(file: Path) -> bool:
    """Whether a choice is a former one (`meta.former`); the file is not parsed, as that takes longer."""
    return "\n  former: " in file.read_text("utf-8")


def _print_help() -> None:
    folders = conf_folders()
    print(USAGE)
    print("Commands:")
    for name, (_, what) in COMMANDS.items():
        print(f"  {name:<10}{what}")
    print("\nChoices (GROUP=CHOICE):")
    for group in GROUPS:
        files = [file for folder in folders for file in (folder / group).glob("*.yaml") if not _is_former(file)]
        found = ", ".join(sorted({file.stem for file in files}))
        print(fill(f"{group}: {found}", WIDTH, initial_indent="  ", subsequent_indent="    "))
    print(f"\n{FOOTER}", end="")
