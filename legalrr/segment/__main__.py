"""The command `legalrr segment`: training, scoring and using a tagger of rhetorical roles."""

import argparse
import shlex
import sys

from legalrr.errors import UserError
from legalrr.segment import learning, tagging

EXAMPLES = """\
examples:
  legalrr segment train --corpus build --out build.crfsuite
  legalrr segment train --corpus lawai50+marro --out seven.crfsuite --folds 0
  legalrr segment evaluate --corpus lawai50 --folds 5 --seed 0
  legalrr segment curve --corpus build --shares 0.25,0.5,1 --out curve
  legalrr segment tag judgments/ > roles.jsonl
  legalrr segment tag *.txt --scheme seven --model seven.crfsuite
  legalrr segment tag judgments/ --format label-studio --out tasks.json
  legalrr segment export --corpus specimen --format docbin --out roles.spacy
  legalrr segment show judgment.txt --out judgment.html
  legalrr segment roles --from build --to seven
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the command; exit status 2 for bad input, with one line that says what, where and what to do."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    options.command_line = shlex.join(["legalrr", "segment", *given])
    try:
        options.run(options)
    except UserError as error:
        print(f"legalrr segment: {error}", file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legalrr segment",
        description="Rhetorical roles: train a tagger, score it, tag judgments, show them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    learning.add_commands(commands)
    tagging.add_commands(commands)
    return parser


if __name__ == "__main__":
    main()
