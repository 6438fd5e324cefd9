"""kernels/ is a source root, not a package: it must not shadow the Hugging Face package of that name."""

import subprocess
import sys
from pathlib import Path

from legalrr.paths import root


def python(code: str, *, path: Path | None = None) -> str:
    environment = {"PYTHONPATH": str(path)} if path else {}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root(), env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_installed_package_of_that_name_is_imported(tmp_path: Path) -> None:
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "__init__.py").write_text("origin = 'the installed package'\n")
    # After the repository root on the path, as an installed package is.
    assert python(
        "import sys; sys.path.append(sys.path.pop(1)); import kernels; print(kernels.origin)", path=tmp_path
    ) == ("the installed package")


def test_without_the_package_transformers_does_not_import_the_folder() -> None:
    code = (
        "import importlib.util\n"
        "from transformers.utils import is_kernels_available\n"
        "spec = importlib.util.find_spec('kernels')\n"
        "print(spec is None or spec.origin is None, is_kernels_available())"
    )
    assert python(code) == "True False"


def test_the_operator_is_a_package_that_does_not_import_legalrr() -> None:
    code = "import sys, gated_kalmanet; print(any(name.startswith('legalrr') for name in sys.modules))"
    assert python(code) == "False"
