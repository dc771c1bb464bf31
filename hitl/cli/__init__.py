"""The command line: argument parsing and printing only; the work is done by `hitl`'s functions."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import warnings
from typing import NoReturn

READING = ("tifffile", "roifile", "nd2", "zarr", "numcodecs", "PIL", "numpy", "matplotlib")
"""Libraries that read files; what is wrong with a file is said by one line of ours."""

EXIT_INPUT = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> NoReturn:
    """Run `hitl` and leave with its exit code."""
    code = EXIT_INPUT
    try:
        from hitl.cli.streams import prepare

        prepare()
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        # Before the command has begun, or after it has ended.
        from hitl.cli.console import print_error

        print_error("interrupted")
        code = EXIT_INTERRUPTED
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        leave(code)


def leave(code: int) -> NoReturn:
    """End the process when all is written, without taking the interpreter down.

    An error leaves reads of the store to native threads, which nobody waits for any more. A thread
    that comes back to an interpreter that is being taken down aborts the process (exit code 134),
    and one that comes back to a closed event loop prints what only its author can read.
    """
    try:
        if "zarr.core.sync" in sys.modules:
            atexit.unregister(sys.modules["zarr.core.sync"].cleanup_resources)
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except OSError:
        code = code or EXIT_INPUT
    finally:
        os._exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and return the exit code.

    Parameters
    ----------
    arguments : list of str
        As after ``hitl`` on the command line.

    Returns
    -------
    int
        0 done, 1 the user's input or data is wrong, 2 wrong usage, 130 interrupted.
    """
    from annotations.damage import damage_in
    from annotations.errors import AnnotationError
    from hitl.cli.console import Interrupted, print_error
    from hitl.cli.usage import UsageProblem, usage_line
    from hitl.cli.verbs import app
    from hitl.project.errors import HitlError
    from labels.errors import LabelImageError
    from models.devices import is_out_of_memory
    from models.errors import ModelError

    # They tell what their caller learns from an exception, or looks for itself, anyway.
    for library in READING:
        logging.getLogger(library).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")
    warnings.filterwarnings("ignore", message="CUDA initialization")
    try:
        return app(arguments, prog_name="hitl", standalone_mode=False) or 0
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else EXIT_INPUT
    except UsageProblem as exc:
        if line := usage_line(exc):
            print_error(line)
        return EXIT_USAGE
    except (HitlError, AnnotationError, ModelError, LabelImageError) as exc:
        print_error(str(exc))
        return EXIT_INPUT
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        print_error(
            f"{where}{exc.strerror or exc}; `hitl log PROJECT` tells what was recorded before"
        )
        return EXIT_INPUT
    except (Interrupted, KeyboardInterrupt):
        print_error("interrupted; what was recorded before is kept")
        return EXIT_INTERRUPTED
    except Exception as exc:
        if is_out_of_memory(exc):
            print_error(
                "the memory does not suffice for this; close other programs, or give something "
                "smaller"
            )
            return EXIT_INPUT
        problem = damage_in(exc)
        if problem is None:
            raise
        print_error(f"the store is damaged: {problem}; `hitl verify PROJECT` tells where")
        return EXIT_INPUT
