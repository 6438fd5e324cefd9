"""Time `import legalrr` and `legalrr --help`, relative to a bare interpreter and an import of Hydra in the same run.

make bench
"""

import statistics
import subprocess
import sys
import time

RUNS = 7
HELP_LIMIT = 0.4
"""Maximum seconds of `legalrr --help` on two cores."""
IMPORT_LIMIT = 0.05
"""Maximum seconds of `import legalrr` in addition to the bare interpreter, on two cores."""


def seconds(*arguments: str) -> float:
    """Return the median wall time of a Python process, in seconds."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Print the table; exit with status 1 if the import or --help is too slow."""
    bare = seconds("-c", "pass")
    print(f"{'command':<28}{'seconds':>9}{'x bare interpreter':>20}")
    found = {}
    for label, arguments in {
        "python -c pass": ("-c", "pass"),
        "import legalrr": ("-c", "import legalrr"),
        "import hydra": ("-c", "import hydra"),
        "legalrr report --help": ("-m", "legalrr", "report", "--help"),
        "legalrr data --help": ("-m", "legalrr", "data", "--help"),
        "legalrr segment --help": ("-m", "legalrr", "segment", "--help"),
        "legalrr --help": ("-m", "legalrr", "--help"),
        "legalrr arm=rc --help": ("-m", "legalrr", "arm=rc", "--help"),
    }.items():
        found[label] = seconds(*arguments)
        print(f"{label:<28}{found[label]:>9.3f}{found[label] / bare:>20.1f}")
    if found["import legalrr"] - found["python -c pass"] > IMPORT_LIMIT:
        sys.exit(f"import legalrr takes more than {IMPORT_LIMIT} s")
    if found["legalrr --help"] > HELP_LIMIT:
        sys.exit(f"legalrr --help takes more than {HELP_LIMIT} s")


if __name__ == "__main__":
    main()
