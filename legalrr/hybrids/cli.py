"""The command `legalrr prime`: a hybrid of attention and Gated KalmaNet layers, trained and saved.

legalrr prime corpus=inabs backbone.gka.layers=every:4 minutes=40
legalrr prime corpus=inabs --select
"""

import shlex
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legalrr.configuration import run_hydra
from legalrr.errors import UserError

SELECT = "--select"


def main() -> None:
    """Run Hydra over `run`; exit status 2 for bad input, with one line that says what, where and what to do."""
    sys.argv = ["select=true" if argument == SELECT else argument for argument in sys.argv]
    status = 0
    try:
        run_hydra(run, "prime")
    except (UserError, HydraException, OmegaConfBaseException) as error:
        status = 2
        print(f"legalrr prime: {' '.join(f'{error} {error.__cause__ or str()}'.split())}", file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
        print("legalrr prime: interrupted; the same command goes on where this one stopped", file=sys.stderr)
    sys.exit(status)


def run(config: DictConfig) -> None:
    """Prime a backbone, or measure the importance of its layers, and say where the result lies."""
    from legalrr.backbones.local.backbone import TransformersBackbone
    from legalrr.hybrids.layer_selection import FOLDER, ORDER, select
    from legalrr.hybrids.priming import MODEL, prime
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
    backbone = build(config["backbone"], TransformersBackbone, option="backbone")
    facts = {"licences": _licences(), "command": shlex.join(["legalrr", "prime", *sys.argv[1:]])}
    if settings.select:
        told = select(settings, corpus, backbone, facts)
        print("missed least first:", *told["order"])
        print(f"order: {Path(settings.folder) / FOLDER / ORDER}")
        return
    told = prime(settings, corpus, backbone, facts)
    print("held-out perplexity:", ", ".join(f"{name} {value:.3f}" for name, value in told["perplexity"].items()))
    print(f"model: {Path(settings.folder) / MODEL}")


def _licences() -> dict[str, Any]:
    """What the configuration states of the licences of corpus and backbone."""
    from legalrr.backbones.catalogue import read_facts
    from legalrr.corpora.catalogue import card

    runtime = HydraConfig.get().runtime
    # Those of LEGALRR_CONF and --config-dir too.
    folders = list(dict.fromkeys(Path(one.path) for one in runtime.config_sources if one.schema == "file"))
    corpus = card(runtime.choices["corpus"], folders)
    return {
        "corpus": {name: getattr(corpus, name) for name in ("what", "licence", "citation")},
        "backbone": read_facts(runtime.choices["backbone"], folders).get("licence", ""),
    }


if __name__ == "__main__":
    main()
