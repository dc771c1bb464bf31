"""What is looked at, in which order, and what of it is done."""

from __future__ import annotations

from hitl.review.session.review_session import ReviewSession
from tests.hitl.review.volumes import SPACING, entry, field, session


def test_the_queue_goes_by_confidence_and_skips_what_is_done():
    found = session()
    assert [e.id for e in found.worklist.entries] == [2, 3, 4, 1, 5]
    assert found.worklist.left == 5
    found.reject(2)
    found.split(3, [(4, 8, 22), (4, 8, 31)])
    assert found.worklist.next().id == 4
    assert found.worklist.previous().id == 3
    assert found.worklist.left == 3
    found.undo()
    assert not found.worklist.is_done(1)
    assert all(found.labels[e.position_zyx] == e.id for e in found.worklist.entries[1:])


def test_a_place_is_done_when_something_was_made_of_it():
    """An object may stand where a queue says that another one is missing."""
    places = [entry(None, place) for place in ((1, 20, 30), (4, 7, 7), (0, 0, 0))]
    image, labels, verified, objects = field()
    found = ReviewSession(image, labels, verified, objects, SPACING, places)
    assert found.worklist.left == 3
    painted = labels.copy()
    painted[1, 18:22, 28:32] = 9
    found.paint(painted)
    assert [found.worklist.is_done(row) for row in range(3)] == [True, False, False]
    found.accept(1)
    found.check_slice(0)
    assert found.worklist.left == 0
    found.undo()
    assert [found.worklist.is_done(row) for row in range(3)] == [True, True, False]
