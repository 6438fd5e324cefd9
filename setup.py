"""The packages of the wheel: every folder with an __init__.py, and the configuration and data beside them.

pyproject.toml has the rest. It can find packages or place conf/ and data/ inside one, but not both.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["legalrr", "legalrr.*"]),
        *find_packages("kernels"),
        *(f"hydra_plugins.{name}" for name in find_packages("hydra_plugins")),
        "legalrr.conf",
        "legalrr.data",
    ]
)
