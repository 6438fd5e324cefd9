"""The command `legalrr prime`: train and save a hybrid of attention and Gated KalmaNet layers.

legalrr prime corpus=inabs backbone.gka.layers=every:4 minutes=40
legalrr prime corpus=inabs --select
"""

import shlex
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legalrr.configuration import run_task
from legalrr.errors import UserError

SELECT = "--select"


def main() -> None:
    """Run `run` as a Hydra application; raises UserError for bad input."""
    sys.argv = ["select=true" if argument == SELECT else argument for argument in sys.argv]
    run_task(run, "prime")


def run(config: DictConfig) -> None:
    """Prime a backbone, or measure the importance of its layers, and print the path of the result."""
    from legalrr.backbones.engine_choice import build_backbone
    from legalrr.backbones.local.backbone import TransformersBackbone
    from legalrr.hybrids.priming import FOLDER, MODEL, ORDER, prime, select
    from legalrr.hybrids.settings import PrimeSettings
    from legalrr.protocols import Corpus
    from legalrr.stage import build, from_values

    whole = OmegaConf.to_container(config, resolve=True)
    assert isinstance(whole, dict)
    try:
        settings = from_values(PrimeSettings, {k: v for k, v in whole.items() if k not in ("corpus", "backbone")})
    except OmegaConfBaseException as error:
        known = ", ".join(["corpus", "backbone", *PrimeSettings.__dataclass_fields__])
        raise UserError(str(error).splitlines()[0], where="config", cure=f"the options are {known}") from error
    corpus = build(config["corpus"], Corpus, option="corpus")  # type: ignore[type-abstract]
    backbone = build_backbone(config["backbone"], TransformersBackbone).resolved()
    facts = {"licences": _licences(), "command": shlex.join(["legalrr", "prime", *sys.argv[1:]])}
    if settings.select:
        result = select(settings, corpus, backbone, facts)
        print("least important first:", *result["order"])
        print(f"order: {Path(settings.folder) / FOLDER / ORDER}")
        return
    card = prime(settings, corpus, backbone, facts)
    print("held-out perplexity:", ", ".join(f"{name} {value:.3f}" for name, value in card["perplexity"].items()))
    print(f"model: {Path(settings.folder) / MODEL}")


def _licences() -> dict[str, Any]:
    """Read the licences of corpus and backbone from the configuration."""
    from legalrr.backbones.facts import read_facts
    from legalrr.corpora.catalogue import card as corpus_card

    runtime = HydraConfig.get().runtime
    # Including those of LEGALRR_CONF and --config-dir.
    folders = list(dict.fromkeys(Path(one.path) for one in runtime.config_sources if one.schema == "file"))
    corpus = corpus_card(runtime.choices["corpus"], folders)
    return {
        "corpus": {name: getattr(corpus, name) for name in ("what", "licence", "citation")},
        "backbone": read_facts(runtime.choices["backbone"], folders).get("licence", ""),
    }


if __name__ == "__main__":
    main()
