"""Run `python -m legalrr` as the command `legalrr`."""

from legalrr.cli import main

if __name__ == "__main__":
    main()
