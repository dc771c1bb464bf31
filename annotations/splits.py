"""What a stack is for."""

from typing import Literal

Split = Literal["train", "val", "test"]
"""A stack of split test never reaches training."""
