"""Run the command `legalrr leakage`: probe what a backbone predicts from parts of what an experiment shows.

    legalrr leakage corpus=specimen backbone=smollm2 limit=6
    legalrr leakage corpus=build backbone=qwen3_vl_8b restructure.overflow=middle

The stages are imported only when the command runs, so that `--help` imports no heavy library.
"""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from legalrr.configuration import run_task

PROBE = "probe"
"""Key of the probe in the configuration."""


def main() -> None:
    """Run the command as a Hydra application; raises UserError for invalid input."""
    run_task(probe, "leakage")


def probe(config: DictConfig) -> None:
    """Probe the judgments of a configuration, and print the result and the path of the report."""
    from legalrr.leakage.output import PAGE, print_results
    from legalrr.leakage.probe import Probe
    from legalrr.leakage.run import run_probe
    from legalrr.run.pipeline import build_pipeline
    from legalrr.stage import build

    options = build(config[PROBE], Probe, option=PROBE)
    pipeline = build_pipeline(OmegaConf.masked_copy(config, [str(key) for key in config if key != PROBE]))
    folder = Path(HydraConfig.get().runtime.output_dir)
    result, calls = run_probe(pipeline, options, folder)
    print_results(result)
    print(f"\nmodel calls: {calls.made} made, {calls.stored} from the store\nreport: {folder / PAGE}")


if __name__ == "__main__":
    main()
