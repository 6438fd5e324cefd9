"""Connect to a Ray cluster, or start one of processes of this machine; check that the packages of Ray are there."""

import importlib
import logging
import os
import socket
from importlib.util import find_spec

from legalrr.errors import UserError

LOG = logging.getLogger(__name__)
OPTION = "workers"
CONNECT = 20.0
"""Seconds until a cluster that does not answer cannot be reached."""
UNREACHABLE = "start it with ray start, or leave the address out to run on this machine"
OBJECT_STORE = 2**28
"""Bytes of the object store of a local cluster; calls and replies are small."""
DASHBOARD = "ray.dashboard.optional_deps"
"""The module of Ray that imports what its dashboard needs."""


def require_packages(*, dashboard: bool) -> None:
    """Raise UserError if Ray, or what its dashboard needs, is not installed."""
    if find_spec("ray") is None:
        raise UserError("the package ray is not installed", where="workers=ray", cure="pip install 'legalrr[ray]'")
    if not dashboard:
        return
    try:
        importlib.import_module(DASHBOARD)
    except ImportError as error:
        raise UserError(
            f"Ray's dashboard needs the package {error.name or error}, which is not installed",
            where=f"{OPTION}.dashboard",
            cure="pip install 'legalrr[ray]', which has it, or leave the dashboard out",
        ) from error


def connect(address: str | None, *, dashboard: bool) -> None:
    """Connect this process to the cluster, or start one on this machine, which ends with this process.

    Args:
        address: of the cluster; None: that in RAY_ADDRESS, or else this machine.
        dashboard: whether a cluster on this machine has the dashboard.

    Raises:
        UserError: the cluster cannot be reached, or started.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if ray.is_initialized():
        return
    found = address or os.environ.get("RAY_ADDRESS")
    option = f"{OPTION}.address" if address or not found else "RAY_ADDRESS"
    if found:
        require_reachable(found, option=option)
    options = {} if found else {"include_dashboard": dashboard, "object_store_memory": OBJECT_STORE}
    try:
        context = ray.init(found or "local", log_to_driver=False, logging_level=logging.WARNING, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"no connection to the Ray cluster: {error}", where=option, cure=UNREACHABLE) from error
    if context.dashboard_url:
        LOG.info("Ray's dashboard: http://%s", context.dashboard_url)


def require_reachable(address: str, *, option: str) -> None:
    """Raise UserError if nothing accepts connections at an address, which Ray would try for minutes.

    Args:
        address: HOST:PORT; others are left to Ray.
        option: where it was given, for the message.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or "/" in host or not host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT).close()
    except OSError as error:
        what = f"no connection to the Ray cluster at {address}: {error}"
        raise UserError(what, where=option, cure=UNREACHABLE) from error
