"""Going back to an earlier round."""

from __future__ import annotations

from annotations.history import RolledBack, plan_roll_back, roll_back
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project


def rollback(
    project: Project, number: int, *, by: str | None = None, dry_run: bool = False
) -> RolledBack:
    """Commit a round that equals an earlier one; the history is kept.

    Parameters
    ----------
    project : Project
    number : int
        The round to go back to.
    by : str, optional
        Who; the config's annotator, else the name of the account, when not given.
    dry_run : bool
        Only tell what would be done.

    Raises
    ------
    UnknownRoundError
    NothingToDoError
        It is the last round.
    """
    store = project.store(read_only=dry_run)
    if number == store.last_round() and number >= 0:
        raise NothingToDoError(
            f"round {number} is the last one: there is nothing to take back; `hitl log` lists the "
            "rounds before it"
        )
    if dry_run:
        return plan_roll_back(store, number)
    return roll_back(store, number, author=project.annotator(by))
