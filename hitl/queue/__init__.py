"""What to correct next: objects by expected error, with a random share for an honest estimate."""

from hitl.queue.entries import Entry, QueueOptions
from hitl.queue.ranking import WEIGHTS, rank
from hitl.queue.sampling import ErrorEstimate, Outcome, estimate_error, select

__all__ = [
    "WEIGHTS",
    "Entry",
    "ErrorEstimate",
    "Outcome",
    "QueueOptions",
    "estimate_error",
    "rank",
    "select",
]
