"""The tags of a page."""

from __future__ import annotations

import html.parser


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, and whether each is closed."""

    VOID = ("meta", "link", "img", "input", "br", "line", "rect", "circle", "polyline", "polygon")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("option", "p") or tag in self.open[-1:]:
            assert self.open.pop() == tag
