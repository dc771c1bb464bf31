"""A person's mouse and keys in the correction window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from hitl.review.window.review_window import ReviewWindow

LEFT = Qt.MouseButton.LeftButton
CONTROL = Qt.KeyboardModifier.ControlModifier
MARGIN_PX = 20
_run = ReviewWindow.run


class Person:
    """Clicks on voxels and presses keys."""

    def __init__(self, window: ReviewWindow, shots: Path) -> None:
        self.window = window
        self.shots = shots
        self.main = window.viewer.window._qt_window
        self.canvas = window.viewer.window._qt_viewer.canvas.native
        self.main.resize(1280, 820)
        assert QTest.qWaitForWindowExposed(self.main)
        self.wait(100)

    def wait(self, ms: int = 5) -> None:
        """Let the window do what it has to."""
        QTest.qWait(ms)

    def press(self, key: Qt.Key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.canvas, key, modifier)
        self.wait()

    def to_slice(self, z: int) -> None:
        self.window.viewer.dims.set_point(0, z * self.window.session.spacing_um[0])
        self.wait()

    def at(self, y: float, x: float) -> QPoint:
        """Where a voxel of the shown slice is on the canvas, in pixels."""
        _, dy, dx = self.window.session.spacing_um
        camera = self.window.layers.camera
        across = (x * dx - camera.center[2]) * camera.zoom + self.canvas.width() / 2
        down = (y * dy - camera.center[1]) * camera.zoom + self.canvas.height() / 2
        return QPoint(round(across), round(down))

    def move(self, y: float, x: float) -> None:
        QTest.mouseMove(self.canvas, self.at(y, x))
        self.wait()

    def drag(self, start: QPoint, stop: QPoint) -> None:
        QTest.mouseMove(self.canvas, start)
        QTest.mousePress(self.canvas, LEFT, pos=start)
        for step in range(1, 6):
            QTest.mouseMove(self.canvas, start + (stop - start) * step / 5)
            self.wait()
        QTest.mouseRelease(self.canvas, LEFT, pos=stop)
        self.wait()

    def bring(self, y: float, x: float) -> None:
        """Drag the image until a voxel of the shown slice is on the canvas."""
        inside = self.canvas.rect().adjusted(MARGIN_PX, MARGIN_PX, -MARGIN_PX, -MARGIN_PX)
        middle = inside.center()
        for _ in range(4):
            if inside.contains(there := self.at(y, x)):
                return
            way = middle - there
            reach = min(
                1.0, *(middle.x() / max(abs(way.x()), 1), middle.y() / max(abs(way.y()), 1))
            )
            self.drag(middle, middle + way * (0.9 * reach))
        raise AssertionError(f"y {y}, x {x} cannot be dragged into view")

    def click(self, z: int, y: int, x: int) -> None:
        self.to_slice(z)
        self.bring(y, x)
        self.move(y, x)
        QTest.mouseClick(self.canvas, LEFT, pos=self.at(y, x))
        self.wait()

    def click_row(self, row: int) -> None:
        """Click on a row of the queue."""
        table = self.window.dock.table
        item = table.item(row, 1)
        table.scrollToItem(item)
        self.wait()
        QTest.mouseClick(table.viewport(), LEFT, pos=table.visualItemRect(item).center())
        self.wait()

    def stroke(self, z: int, points: list[tuple[int, int]]) -> None:
        self.to_slice(z)
        self.move(*points[0])
        QTest.mousePress(self.canvas, LEFT, pos=self.at(*points[0]))
        for point in points[1:]:
            self.move(*point)
        QTest.mouseRelease(self.canvas, LEFT, pos=self.at(*points[-1]))
        self.wait()

    def shot(self, name: str) -> None:
        self.wait(50)
        assert self.main.grab().save(str(self.shots / f"{name}.png"))

    def said(self) -> str:
        return self.window.dock.prompt.text()

    def commit(self, message: str, shot: str = "dialog") -> None:
        def answer() -> None:
            dialog = QApplication.activeModalWidget()
            if dialog is None:
                QTimer.singleShot(20, answer)
                return
            QTest.keyClicks(dialog.message, message)
            assert dialog.grab().save(str(self.shots / f"{shot}.png"))
            QTest.mouseClick(dialog.commit, LEFT)

        QTimer.singleShot(20, answer)
        QTest.mouseClick(self.window.dock.commit, LEFT)
        self.wait()


def send(act: Callable[[Person], None], shots: Path) -> None:
    """Let somebody work in the windows that `hitl correct` opens from now on, and close them."""

    def work_until_closed(window: ReviewWindow) -> None:
        act(Person(window, shots))
        QTimer.singleShot(0, window.viewer.close)
        _run(window)

    ReviewWindow.run = work_until_closed  # type: ignore[method-assign]
