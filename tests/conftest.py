"""Shared fixtures: tiny models (two layers, random weights, a token per byte), no time limits, no network."""

import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hypothesis import settings

# rouge-score imports absl, whose log handler closes its stream when Hydra configures logging: give it the real stderr
# instead of the one that pytest captures.
if find_spec("absl"):
    from absl import logging as absl_logging

    absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

# Without a GPU, triton kernels run in the interpreter; set before transformers imports triton.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

settings.register_profile("at any speed", deadline=None)
settings.load_profile("at any speed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Restore logging after each test: commands configure it with a stream that pytest closes."""
    root, ours = logging.getLogger(), logging.getLogger("legalrr")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    try:
        return (yield)
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _tokenizer():
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "<|im_start|>", "<|im_end|>"])
    # As in Llama's tokenizers, <s> precedes every text; the template adds it too.
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>", chat_template=TEMPLATE
    )


def _save(folder: Path, *, sliding_window: int | None = None, **generation: object) -> Path:
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

    tokenizer = _tokenizer()
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.4,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    torch.manual_seed(11)
    if sliding_window is None:
        model = LlamaForCausalLM(LlamaConfig(**shape))
    else:
        model = MistralForCausalLM(MistralConfig(**shape, sliding_window=sliding_window))
    model.generation_config = GenerationConfig(**({"eos_token_id": tokenizer.eos_token_id} | generation))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def save_tiny() -> Callable[..., Path]:
    """Return a function (folder, sliding_window=None, **generation settings) that saves a tiny model and tokenizer."""
    return _save


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Llama."""
    return _save(tmp_path_factory.mktemp("tiny"))


PLUGINS = Path(__file__).resolve().parents[1] / "docs" / "plugins.md"
BUNDLE = """\
===== one allowed
The appellant sold a horse. It was lame. We find the sale void. The appeal is allowed.
===== two dismissed
The appellant let a shop. The rent was not paid. We see no error. The appeal is dismissed.
"""


@pytest.fixture(scope="session")
def save_plugin() -> Callable[[Path], None]:
    """Return a function (folder) that saves the plug-in package of docs/plugins.md and its data/bundles.txt."""

    def save(folder: Path) -> None:
        files = re.findall(r"```\w+\n# (\S+)\n(.*?)```\n", PLUGINS.read_text(encoding="utf-8"), re.DOTALL)
        for name, text in [*files, ("data/bundles.txt", BUNDLE)]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")

    return save


@pytest.fixture
def run_hydra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Return a function (main, name, *arguments) that runs a Hydra command in a temporary folder.

    It gives exit status, standard output and standard error.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def command(main: Callable[[], None], name: str, *arguments: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    yield command
    GlobalHydra.instance().clear()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test on any connection."""

    def refuse(*_: object) -> None:
        pytest.fail("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def compile_latex(tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function (text, options of article) that compiles LaTeX and gives its warnings of boxes that do not fit.

    The test is skipped without pdflatex.
    """
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")

    def warnings(text: str, options: str) -> list[str]:
        head = rf"\documentclass[{options}]{{article}}\usepackage{{booktabs}}\begin{{document}}"
        (tmp_path / "page.tex").write_text(f"{head}\n{text}\n\\end{{document}}\n", encoding="utf-8")
        command = ["pdflatex", "-interaction=batchmode", "-halt-on-error", "-no-shell-escape", "page.tex"]
        made = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, check=False)
        log = (tmp_path / "page.log").read_text(encoding="latin-1")
        assert made.returncode == 0, log
        return [line for line in log.splitlines() if line.startswith("Overfull \\hbox")]

    return warnings


@pytest.fixture(scope="session")
def latex_widths() -> Callable[[str], list[float]]:
    """Return a function from LaTeX to an upper bound of the width of each tabular, from its characters, in points."""
    from legalrr.latex import BOLD, text_width

    def cell_width(cell: str) -> float:
        boxed = re.search(r"\\parbox\[[bt]\]{([0-9.]+)em}|\\multicolumn{\d+}{p{([0-9.]+)em}}", cell)
        if boxed:
            return 10 * float(boxed[1] or boxed[2])
        smaller = sum(map(text_width, re.findall(r"(?:\\scriptsize |\\textsuperscript{)([^}]*)}", cell)))
        ratio = BOLD if r"\textbf" in cell else 1.0
        cell = re.sub(r"{\\scriptsize [^}]*}|\\textsuperscript{[^}]*}|\\multicolumn{\d+}{l}|\\textbf", "", cell)
        for command, as_wide in (("backslash|asciitilde|asciicircum", "*"), ("less|greater", "="), ("bar", "|")):
            cell = re.sub(rf"\\text({command}){{}}", as_wide, cell)
        return 0.87 * smaller + ratio * text_width(re.sub(r"(?<!\\)[{}]|\\(?=[&%$#_{}])", "", cell))

    def widths(text: str) -> list[float]:
        found = []
        space = float(match[1]) if (match := re.search(r"\\tabcolsep}{([0-9.]+)pt}", text)) else 6.0
        for body in re.findall(r"\\begin{tabular}(.*?)\\end{tabular}", text, re.DOTALL):
            rows = [row.split(" & ") for row in re.findall(r"^(.*) \\\\$", body, re.MULTILINE)]
            own = [row for row in rows if not row[0].startswith("\\multicolumn")]
            columns = sum(max(map(cell_width, cells)) + 2 * space for cells in zip(*own, strict=True))
            spans = [cell_width(row[0]) + 2 * space for row in rows if row[0].startswith("\\multicolumn")]
            found.append(max([columns, *spans]))
        return found

    return widths


SBATCH = """\
#!{python}
# Runs the tasks of a job. A job with --parsable or a dependency has ended when sbatch returns.
import os, pathlib, re, subprocess, sys
made = pathlib.Path("sbatch")
made.mkdir(exist_ok=True)
given = [one for one in sys.argv[1:] if one.startswith("--")]
script, *arguments = sys.argv[1 + len(given):]
text = pathlib.Path(script).read_text()
(made / "script").write_text(text)
number = 40 + len(list(made.glob("job-*")))
(made / f"job-{{number}}").write_text(" ".join(sys.argv[1:]))
found = re.search(r"--array=([0-9]+)-([0-9]+)", " ".join([*given, *re.findall("^#SBATCH (.*)$", text, re.M)]))
first, last = (int(found[1]), int(found[2])) if found else (0, 0)
env = dict(os.environ, SLURM_JOB_ID=str(number))
for one in given:
    if one.startswith("--export=ALL,"):
        env |= dict(pair.split("=") for pair in one.removeprefix("--export=ALL,").split(","))
if found:
    names = dict(MIN=first, MAX=last, STEP=1, COUNT=last - first + 1)
    env |= {{f"SLURM_ARRAY_TASK_{{name}}": str(value) for name, value in names.items()}}
tasks = []
for task in range(first, last + 1):
    if found:
        env |= {{"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}}
    log = (made / f"{{number}}-{{task}}.log").open("w")
    tasks.append(subprocess.Popen(["bash", script, *arguments], env=env, stdout=log, stderr=log))
parsable = "--parsable" in given
if parsable or any(one.startswith("--dependency") for one in given):
    assert not any([task.wait() for task in tasks]), (made / f"{{number}}-{{first}}.log").read_text()
print(number if parsable else f"Submitted batch job {{number}}")
"""
SRUN = """\
#!/bin/bash
while [[ $1 == --* ]]; do
  if [[ $1 == *=* || $1 == --unbuffered || $1 == --overlap ]]; then shift; else shift 2; fi
done
exec "$@"
"""
SACCT = """\
#!/bin/bash
printf 'JobID|State|NodeList\\n40_0|RUNNING|a\\n40_1|PENDING|\\n'
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins for the commands of Slurm on the path, and return their folder.

    They run jobs here at once, and write scripts, command lines and output into the folder `sbatch` here.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH.format(python=sys.executable)), ("srun", SRUN), ("sacct", SACCT)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder
