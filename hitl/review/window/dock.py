"""The dock beside the image: the queue, the keys, what changed. It decides nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor, QFont
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QGridLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from hitl.review.session.worklist import Worklist, WorklistEntry

_WIDTHS = (22, 62, 50)
_DONE, _ALERT = "#7a8290", "#ff8a65"
_NO_FOCUS = Qt.FocusPolicy.NoFocus


Key = tuple[str, str, str, Callable[[], None]]
"""A button's name, its key as napari writes it, what the mouse tells, and what it does."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """How the table shows a list.

    Parameters
    ----------
    columns : (str, str, str)
        Headings, after that of what is seen to.
    cells : callable
        From an entry to their texts.
    colour : callable
        Of an entry's first cell; None for that of the theme.
    title : str
        What is said of the number that are seen to.
    empty : str
        What is said when nothing is listed.
    width : int
        Of the first cell, in pixels.
    """

    columns: tuple[str, str, str]
    cells: Callable[[Any], tuple[str, str, str]]
    colour: Callable[[Any], str | None] = lambda _entry: None
    title: str
    empty: str
    width: int = _WIDTHS[1]


class ReviewDock(QWidget):
    """Queue, buttons and status; what they do is given as functions.

    Parameters
    ----------
    title : str
    keys : sequence of Key
    on_row : callable
        A row of the queue was clicked.
    on_commit : callable
    """

    def __init__(
        self,
        title: str,
        keys: Sequence[Key],
        on_row: Callable[[int], None],
        on_commit: Callable[[], None],
    ) -> None:
        super().__init__()
        self.setMinimumWidth(340)
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        self.title = _label(title, bold=True)
        self.left = _label("")
        self.left.setTextFormat(Qt.TextFormat.PlainText)
        self._listing = QUEUE
        self.table = _queue_table()
        self._cells: list[list[QTableWidgetItem]] = []
        self.table.cellClicked.connect(lambda row, _column: on_row(row))
        self.object_line = _label("", bold=True)
        self.why_line = _label("")
        self.prompt = _label("")
        self.prompt.setTextFormat(Qt.TextFormat.PlainText)
        self.changes = _label("")
        self.saved = _label("")
        self.commit = _button("Commit round …", "Show what was done, then make it a round")
        self.commit.clicked.connect(lambda: on_commit())
        self.commit.setMinimumHeight(34)
        for part in (self.title, self.left):
            layout.addWidget(part)
        layout.addWidget(self.table, stretch=1)
        for part in (self.object_line, self.why_line):
            layout.addWidget(part)
        layout.addLayout(_buttons(keys))
        for part in (self.prompt, self.changes, self.saved):
            layout.addWidget(part)
        layout.addWidget(self.commit)

    def show_list(self, worklist: Worklist, listing: Listing | None = None) -> None:
        """Fill the table with a list; that of what to correct when no other is given."""
        self._listing = listing or QUEUE
        self.table.setHorizontalHeaderLabels(("", *self._listing.columns))
        self.table.setColumnWidth(1, self._listing.width)
        self.table.setRowCount(len(worklist.entries))
        self._cells = []
        for row, entry in enumerate(worklist.entries):
            self._cells.append([])
            for column, text in enumerate(("", *self._listing.cells(entry))):
                item = QTableWidgetItem(text)
                item.setToolTip(entry.why)
                if column == 2 or (column == 1 and self._listing is QUEUE):
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.table.setItem(row, column, item)
                self._cells[row].append(item)
        self.show_progress(worklist)

    def show_progress(self, worklist: Worklist) -> None:
        """Mark what is done, and where the cursor is."""
        for row, (cells, entry) in enumerate(zip(self._cells, worklist.entries, strict=True)):
            done = worklist.is_done(row)
            cells[0].setText("✓" if done else "")
            for cell in cells:
                cell.setForeground(QBrush(QColor(_DONE)) if done else QBrush())
            colour = self._listing.colour(entry)
            if colour is not None:
                cells[1].setForeground(QBrush(QColor(colour)))
        if worklist.entries:
            self.table.setCurrentCell(worklist.row, 1)
            self.table.scrollToItem(self._cells[worklist.row][1])
        total = len(worklist.entries)
        seen = f"{total - worklist.left} of {total} {self._listing.title}"
        self.left.setText(seen if total else self._listing.empty)

    def say(self, text: str, *, alert: bool = False) -> None:
        """Show what to do next, or what cannot be done."""
        self.prompt.setText(text)
        self.prompt.setStyleSheet(f"color: {_ALERT};" if alert else "")


class CommitDialog(QDialog):
    """Shows what a round would hold and asks for a line about it.

    Parameters
    ----------
    lines : sequence of (str, str)
        What, and how much.
    parent : QWidget
    """

    def __init__(self, lines: Sequence[tuple[str, str]], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Commit this round?")
        self.setMinimumWidth(380)
        form = QFormLayout(self)
        form.setVerticalSpacing(6)
        for what, how_much in lines:
            form.addRow(what, _label(how_much, bold=True))
        self.message = QLineEdit()
        self.message.setPlaceholderText("says what was done when left empty")
        form.addRow("message", self.message)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.commit = QPushButton("Commit")
        self.commit.setDefault(True)
        buttons.addButton(self.commit, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)


def name_of(entry: WorklistEntry) -> str:
    """Return what the queue calls an entry."""
    return "missing?" if entry.id is None else str(entry.id)


def percent(confidence: float | None) -> str:
    """Return a confidence for people.

    >>> percent(0.256), percent(None)
    ('26 %', '–')
    """
    known = confidence is not None and math.isfinite(confidence)
    return f"{100 * confidence:.0f} %" if known and confidence is not None else "–"


QUEUE = Listing(
    columns=("object", "conf.", "why"),
    cells=lambda entry: (name_of(entry), percent(entry.confidence), entry.why),
    title="in the queue seen to",
    empty="The queue is empty",
)
"""What to correct."""


def _label(text: str, *, bold: bool = False) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    if bold:
        font = QFont(label.font())
        font.setBold(True)
        label.setFont(font)
    return label


def _button(text: str, hint: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(hint)
    # The keys belong to the image: a button with the focus would eat the space bar.
    button.setFocusPolicy(_NO_FOCUS)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button


def _buttons(keys: Sequence[Key]) -> QGridLayout:
    grid = QGridLayout()
    grid.setSpacing(4)
    for number, (name, key, hint, run) in enumerate(keys):
        shown = key.replace("Control", "Ctrl").replace("-", "+")
        button = _button(f"{name}  [{shown}]", hint)
        button.clicked.connect(lambda _=False, run=run: run())
        grid.addWidget(button, number // 2, number % 2)
    return grid


def _queue_table() -> QTableWidget:
    table = QTableWidget(0, len(_WIDTHS) + 1)
    table.setFocusPolicy(_NO_FOCUS)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setShowGrid(False)
    table.setWordWrap(False)
    rows, header = table.verticalHeader(), table.horizontalHeader()
    assert rows is not None and header is not None, "a table widget is made with both headers"
    rows.hide()
    rows.setDefaultSectionSize(24)
    for column, width in enumerate(_WIDTHS):
        header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
        table.setColumnWidth(column, width)
    header.setStretchLastSection(True)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
    return table
