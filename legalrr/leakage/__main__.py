"""The command `legalrr leakage`: what a backbone reads from parts of what an experiment shows.

legalrr leakage corpus=specimen backbone=smollm2 limit=6
legalrr leakage corpus=build backbone=qwen3_vl_8b backbone.revision=COMMIT restructure.overflow=middle
"""

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legalrr.configuration import run_hydra
from legalrr.errors import UserError

PROBE = "probe"


def main() -> None:
    """Run Hydra over `probe`; exit status 2 for bad input, with one line that says what, where and what to do."""
    status = 0
    try:
        run_hydra(probe, "leakage")
    except (UserError, HydraException, OmegaConfBaseException) as error:
        status = 2
        print(f"legalrr leakage: {' '.join(f'{error} {error.__cause__ or str()}'.split())}", file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
        print("legalrr leakage: interrupted; the same command goes on where this one stopped", file=sys.stderr)
    sys.exit(status)


def probe(config: DictConfig) -> None:
    """Probe the judgments of a config, print what was found, and say where it lies."""
    from legalrr.leakage.output import PAGE, show
    from legalrr.leakage.probe import Probe
    from legalrr.leakage.run import run
    from legalrr.pipeline import build_pipeline
    from legalrr.stage import build

    options = build(config[PROBE], Probe, option=PROBE)
    pipeline = build_pipeline(OmegaConf.masked_copy(config, [str(key) for key in config if key != PROBE]))
    folder = Path(HydraConfig.get().runtime.output_dir)
    found, calls = run(pipeline, options, folder)
    show(found)
    print(f"\nmodel calls: {calls.made} made, {calls.stored} from the store\nreport: {folder / PAGE}")


if __name__ == "__main__":
    main()
