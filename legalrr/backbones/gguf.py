"""GGUF files (the format of llama.cpp), converted once to safetensors.

transformers reads a GGUF file by dequantising every tensor, which takes from half a minute on, at each start. So the
first use saves what it read, model, tokenizer and chat template, to `<cache>/models/<digest>-<dtype>`, which loads in
seconds.
"""

import logging
import os
import shutil
import struct
import tempfile
from pathlib import Path

from legalrr.backbones.numerics import hush
from legalrr.backbones.source import content_digest
from legalrr.errors import UserError

log = logging.getLogger(__name__)

MARK = "converted"
"""Written last into a converted folder: its presence means that the folder is whole."""


def cache_root() -> Path:
    """Folder of what can be made again: LEGALRR_CACHE, else ~/.cache/legalrr."""
    return Path(os.environ.get("LEGALRR_CACHE") or "~/.cache/legalrr").expanduser()


def converted(path: Path, dtype: str, *, option: str) -> Path:
    """Folder with the model, tokenizer and chat template of a .gguf file as safetensors, converted if need be.

    Several processes may convert the same file at once: each writes a folder of its own, and the first to finish
    puts it in place. A conversion that was torn off leaves nothing that is taken for a model.

    Args:
        path: the .gguf file.
        dtype: float32, bfloat16 or float16.
        option: config path of the backbone, for messages.

    Raises:
        UserError: transformers cannot read the file.
    """
    folder = cache_root() / "models" / f"{content_digest(path)}-{dtype}"
    if (folder / MARK).is_file():
        return folder
    log.info("converting %s to %s safetensors, once (half a minute and more)", path.name, dtype)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-", ignore_cleanup_errors=True) as part:
        made = Path(part) / "model"
        _convert(path, made, dtype, option)
        (made / MARK).write_text(f"{path.name}\n", encoding="utf-8")
        if folder.exists() and not (folder / MARK).is_file():
            shutil.rmtree(folder)
        try:
            made.rename(folder)
        except OSError:
            # A folder that is not empty cannot be replaced: another process was first, and its content is the same.
            if not (folder / MARK).is_file():
                raise
    log.info("converted %s to %s", path.name, folder)
    return folder


def _convert(path: Path, folder: Path, dtype: str, option: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    hush()
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            # Where the package `kernels` is installed, weights would otherwise stay packed.
            quantization_config=GgufConfig(dequantize=True),
            dtype=getattr(torch, dtype),
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, NotImplementedError, struct.error) as error:
        raise UserError(
            f"transformers cannot read {path}: {error}", where=f"{option}.model", cure="is it a whole GGUF file?"
        ) from error
    model.save_pretrained(folder)
    # GGUF does not tell the tokenizer the context length: it comes out as 1e30.
    tokenizer.model_max_length = model.config.get_text_config().max_position_embeddings
    tokenizer.save_pretrained(folder)
