"""Give each run a folder of its own, also if several runs start in the same second.

The folder of a run is named by a time stamp (`${now:...}` in `hydra.run.dir` or `hydra.sweep.dir`). Before anything is
written, it is made in a way that fails if it exists; a name that is taken gets a number: 2025-01-31_12-00-00-2. A
folder that the user names without a time stamp is used as it is.

A shard (`shard=3/16`) leaves only a log: it is in a folder of its own under `runs/shard`, wherever results go.
"""

from itertools import count
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from legalrr.errors import UserError
from legalrr.run.shard import read_shard

STAMP = "${now:"
SHARD_FOLDER = "${runs}/shard/${now:%Y-%m-%d_%H-%M-%S}"


class UniqueFolder(Callback):
    """Hydra callback that makes the folder of a run or a sweep before Hydra uses it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the folder of a single run."""
        _claim(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the folder of a sweep, which its jobs share."""
        _claim(config, "sweep")


def _claim(config: DictConfig, mode: str) -> None:
    """Make a new folder and set `hydra.{mode}.dir` to it, in the configuration and in those of all jobs."""
    shard = OmegaConf.select(config, "shard")
    if shard is not None:
        with read_write(config), open_dict(config):
            config.hydra[mode].dir = SHARD_FOLDER + _ending(str(shard))
    written = OmegaConf.to_container(config.hydra[mode], resolve=False)
    assert isinstance(written, dict)
    if STAMP not in str(written["dir"]):
        return
    named = Path(str(config.hydra[mode].dir))
    for number in count(1):
        folder = named if number == 1 else named.with_name(f"{named.name}-{number}")
        with read_write(config), open_dict(config):
            config.hydra[mode].dir = str(folder)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if folder.exists():
                continue
        except OSError:
            # Hydra turns exceptions of callbacks into warnings. It makes the folder too, and fails for the same reason.
            pass
        break
    # The configuration of a job is composed anew, from these overrides.
    override = f"hydra.{mode}.dir={QuotedString(text=str(folder), quote=Quote.single).with_quotes()}"
    with read_write(config), open_dict(config):
        config.hydra.overrides.hydra.append(override)


def _ending(text: str) -> str:
    """Return the ending of the name of a shard's folder; "" for one that the run itself refuses."""
    try:
        shard = read_shard(text)
    except UserError:
        return ""
    return f"_{shard.number}-of-{shard.count}"
