"""What a field is for."""

from typing import Literal

Split = Literal["train", "val", "test"]
"""A field of split test never reaches training."""
