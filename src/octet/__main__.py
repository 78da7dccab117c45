"""`python -m octet`; bin/octet runs Python on this directory. Each command pays for its imports."""

from __future__ import annotations

import os
import sys

if not __package__:
    # Python puts a directory that it runs first on the path; there `git` would be Octet's package,
    # and not GitPython's.
    sys.path[0] = os.path.dirname(sys.path[0])

from octet.runtime.venv import CHECKED, hold, stamp


def main() -> None:
    """Run the command line, after a check that the environment that bin/octet chose still fits."""
    if recorded := sys._xoptions.get("octet"):
        root = os.path.dirname(sys.path[0])
        fits = sys.prefix != sys.base_prefix and hold(sys.prefix) and recorded == stamp(root)
        if not fits and recorded != CHECKED:
            base = getattr(sys, "_base_executable", sys.executable)
            script = os.path.join(root, "src", "octet", "runtime", "bootstrap.py")
            os.execv(base, [base, "-I", "-S", "-B", script, root, *sys.argv[1:]])
    os.environ.pop("OCTET_SETUP", None)
    try:
        from octet.cli import main as run
    except ModuleNotFoundError as error:
        print(
            f"octet: {error}: the environment {sys.prefix} is damaged: remove it and try again",
            file=sys.stderr,
        )
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
