"""A network namespace of our own: the benchmarks' traffic meets nobody else's, and nobody else's meets it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

__all__ = ["enter"]

_INSIDE = "SWITCHCAST_BENCHMARK_NAMESPACE"

_COMMANDS = (
    ("ip", "link", "set", "lo", "up"),
    ("ip", "link", "set", "lo", "multicast", "on"),
    ("ip", "route", "add", "224.0.0.0/4", "dev", "lo"),
)


def enter() -> None:
    """Run this program again within a network namespace whose loopback carries multicast; return when inside.

    Whoever is not root becomes root of a user namespace, where the kernel allows that: receive buffers beyond
    ``rmem_max`` need it. Ends the program with a message where there are no namespaces to be had.
    """
    if os.environ.get(_INSIDE):
        for command in _COMMANDS:
            subprocess.run(command, check=True)
        return
    missing = [tool for tool in ("unshare", "ip") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"benchmarks: {' and '.join(missing)} missing; install util-linux and iproute2")
    wrapper = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*wrapper, "true"], check=False).returncode:
        sys.exit("benchmarks: no network namespace to be had here; run as root, or allow user namespaces")
    os.environ[_INSIDE] = "1"
    os.execvp(wrapper[0], [*wrapper, sys.executable, "-m", "benchmarks", *sys.argv[1:]])  # noqa: S606
