"""Command `legalrr plan`: what an experiment needs and can find, before it runs."""

import argparse
import json
import logging
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from legalrr.configuration import compose_cells, require_joined, require_text
from legalrr.credentials import require_no_credentials
from legalrr.errors import UserError

if TYPE_CHECKING:
    from legalrr.plan.cells import Cells
    from legalrr.plan.duration import Cluster

FIRST = ""
"""Value of --prompts without an id."""
_CLUSTER = (("workers", ""), ("machine", "1"), ("lease", "4"))
"""Whole numbers of --cluster, and what they are if they are not given."""
EPILOG = """\
The arguments are those of `legalrr`: an experiment, choices and options; commas make the axes of a sweep. Nothing is
asked of the model except by the calibration, which takes half a minute per backbone and stores nothing. Roles that a
tagger finds are stored, as the run needs them too.

examples:
  legalrr plan experiment=quickstart limit=4                   calls, tokens, memory, time and power of a sweep
  legalrr plan experiment=paper corpus=lawai50 backbone=smollm2
  legalrr plan experiment=paper backbone=o3_mini               money, from the prices of the backbone
  legalrr plan experiment=paper --tokens-per-second 9000,40    the time on another machine
  legalrr plan experiment=paper --tokens-per-second 9000,800 --cluster gpus=8,price=2.5
  legalrr plan experiment=paper --cluster workers=4,machine=4          four processes on this machine
  legalrr plan experiment=paper --prompts tax-2 --out prompts.html      one judgment in all arms, side by side
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; raises UserError for invalid input."""
    parser = argparse.ArgumentParser(
        prog="legalrr plan",
        description="Plan an experiment without its model: cells, calls, tokens, memory, time, money, power.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="OPTION=VALUE", help="as for legalrr")
    parser.add_argument("-m", "--multirun", action="store_true", help="accepted, as commas already make a sweep")
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument(
        "--tokens-per-second",
        metavar="PREFILL,DECODE",
        help="predict the time from tokens read and written per second, instead of a calibration",
    )
    speed.add_argument("--no-calibration", action="store_true", help="predict no time")
    parser.add_argument(
        "--cluster",
        metavar="workers=N[,machine=1][,lease=4][,threads=T][,price=P]",
        help="predict the time of N workers too, each with `lease` judgments under way, T threads on a CPU and a price "
        "of P an hour (default: those of workers=ray); one is measured while the others of its machine work",
    )
    parser.add_argument(
        "--prompts",
        nargs="?",
        const=FIRST,
        metavar="ID",
        help="show the exact prompts of one judgment in all arms instead (default: the first judgment)",
    )
    parser.add_argument("--out", type=Path, metavar="PAGE.html", help="write these prompts as a page instead")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    chosen, rest = parser.parse_known_args(arguments)
    # argparse takes an override after --prompts for the id, and refuses positional arguments after an option.
    overrides = [*chosen.overrides, *rest]
    if chosen.prompts and "=" in chosen.prompts:
        overrides.insert(0, chosen.prompts)
        chosen.prompts = FIRST
    if unknown := next((one for one in overrides if one.startswith("-")), None):
        parser.error(f"unrecognized argument: {unknown}")
    _plan(overrides, chosen)


def _plan(overrides: list[str], chosen: argparse.Namespace) -> None:
    if chosen.out is not None and chosen.prompts is None:
        raise UserError("a page is made of prompts", where="--out", cure="add --prompts")
    speed = None if chosen.tokens_per_second is None else _speed(chosen.tokens_per_second)
    require_text(overrides)
    require_no_credentials(overrides)
    require_joined(overrides)
    # Progress, as in a run.
    logging.getLogger("legalrr").setLevel(logging.INFO)

    cluster = None if chosen.cluster is None else read_cluster(chosen.cluster)

    from legalrr.plan.cells import Cells
    from legalrr.plan.duration import Options
    from legalrr.plan.output import print_plan
    from legalrr.plan.plan import make_plan
    from legalrr.progress import working

    with working("compose the cells"):
        composed = compose_cells(overrides)
    cells = Cells([config for _, config in composed])
    if chosen.prompts is not None:
        _prompts(cells, [own for own, _ in composed], chosen)
        return
    plan = make_plan(cells, Options(calibrate=not chosen.no_calibration, tokens_per_second=speed, cluster=cluster))
    if chosen.json:
        print(json.dumps(plan.as_json(), indent=2, ensure_ascii=False))
        return
    print_plan(plan)
    sweep = "-m " if len(composed) > 1 and not any(one.startswith("experiment=") for one in overrides) else ""
    print(f"run it: legalrr {sweep}{shlex.join(overrides)}")


def _prompts(cells: "Cells", overrides: list[list[str]], chosen: argparse.Namespace) -> None:
    from legalrr.files import require_own, write_atomically
    from legalrr.plan.prompts import PAGE_START, prompts_page, read_prompts, show_prompts

    shown = read_prompts(cells, overrides, chosen.prompts or None)
    if chosen.out is None:
        show_prompts(shown)
        return
    require_own(chosen.out, PAGE_START)
    write_atomically(chosen.out, prompts_page(shown))
    print(chosen.out)


def _speed(text: str) -> tuple[float, float]:
    """Parse PREFILL,DECODE."""
    try:
        reading, writing = map(float, text.split(","))
    except ValueError:
        reading = writing = 0.0
    if not (0 < reading < math.inf and 0 < writing < math.inf):
        raise UserError(
            f"{text!r} is not two numbers above 0",
            where="--tokens-per-second",
            cure="give tokens read and written per second, as 9000,40",
        )
    return reading, writing


def read_cluster(text: str) -> "Cluster":
    """Parse workers=N[,machine=N][,lease=N][,threads=N][,price=P]; `gpus` is another word for workers.

    Raises:
        UserError: the text is anything else.
    """
    from legalrr.plan.duration import Cluster

    given = dict(part.partition("=")[::2] for part in text.split(","))
    if "gpus" in given:
        given["workers"] = given.pop("gpus")
    try:
        workers, machine, lease = (int(given.pop(name, more)) for name, more in _CLUSTER)
        threads = int(given.pop("threads")) if "threads" in given else None
        price = float(given.pop("price")) if "price" in given else None
    except ValueError:
        workers = machine = lease = 0
        threads = price = None
    least = min(workers, machine, lease, 1 if threads is None else threads)
    if given or least < 1 or (price is not None and not 0 <= price < math.inf):
        raise UserError(
            f"{text!r} does not describe workers",
            where="--cluster",
            cure="give their number, and if you like those on one machine, judgments under way in each, threads on a "
            "CPU and the price of an hour of one: workers=8,machine=2,lease=4,threads=2,price=2.5",
        )
    return Cluster(workers=workers, machine=machine, lease=lease, threads=threads, price=price)


if __name__ == "__main__":
    main()
