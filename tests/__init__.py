"""The tests mirror the packages: a module's tests are where its name says."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout, from which worker processes are started."""
