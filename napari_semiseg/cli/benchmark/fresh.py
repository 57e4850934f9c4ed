"""Measuring in a process of its own, where nothing has been imported or allocated yet.

Run as a module it is that process: it calls the function that it is told and prints the answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from napari_semiseg.engine.errors import SemisegError

LONGEST_SECONDS = 1800


def in_fresh_process(function: Callable[..., Any], **arguments: Any) -> Any:
    """Call ``function`` in a new interpreter and return what it returns.

    Parameters
    ----------
    function : callable
        A public function of a module; what it returns is plain JSON.

    Raises
    ------
    SemisegError
        The process failed, or took longer than half an hour.
    """
    told = [function.__module__, function.__name__, json.dumps(arguments)]
    what = f"{function.__name__} of {function.__module__}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, *told],
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired as problem:
        raise SemisegError(
            f"The measurement {what} took longer than {LONGEST_SECONDS // 60} minutes; use --quick, "
            "or leave its section out with --only."
        ) from problem
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise SemisegError(
            f"The measurement {what} failed in its own process ({last[0]}); leave its section out "
            "with --only."
        )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Call the function that the arguments name and print its answer as the last line."""
    module, name, arguments = sys.argv[1:]
    answer = getattr(import_module(module), name)(**json.loads(arguments))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
