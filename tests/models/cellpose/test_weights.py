"""Finding, downloading and naming Cellpose's weights; no framework is imported."""

from __future__ import annotations

import http.server
import io
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labels.progress import no_progress
from models.cellpose import available, weights, weights_path
from models.errors import CheckpointError, WeightsUnavailableError
from tests import ROOT

Serve = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of weights, named by the environment variable, not there yet."""
    target = tmp_path / "weights"
    monkeypatch.setenv(weights.ENVIRONMENT, str(target))
    return target


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve one body (and its announced length) in place of the download site."""
    servers = []

    def start(body: bytes, announced: int | None = None, status: int = 200) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(announced or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                return

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(weights, "SOURCE_URL", url)
        return url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def zipped(size: int = 3 << 20) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", bytes(size))
    return buffer.getvalue()


def left_over(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_default_folder_is_cellpose_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(weights.ENVIRONMENT, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.weights_folder() == tmp_path / ".cellpose" / "models"


def test_path_of_name_and_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cpsam_v2").write_bytes(b"a file that happens to lie here")
    (tmp_path / "own.pt").write_bytes(b"w")
    (folder / "tuned").write_bytes(b"w")
    assert weights_path("cpsam_v2") is None
    assert weights_path("own.pt") == tmp_path / "own.pt"
    assert weights_path("tuned") == folder / "tuned"
    assert weights_path("nothing") is None


def test_available_says_what_to_do(folder: Path) -> None:
    here, message = available()
    assert not here
    for part in (weights.SOURCE_URL + "cpsam_v2", str(folder / "cpsam_v2"), weights.ENVIRONMENT):
        assert part in message
    folder.mkdir()
    (folder / "cpsam_v2").write_bytes(b"w")
    assert available() == (True, f"Cellpose with the weights {folder / 'cpsam_v2'}")


def test_asking_imports_no_framework() -> None:
    code = (
        "import sys; from models.cellpose import CellposeSegmenter, available; available();"
        "CellposeSegmenter();"
        "print([m for m in ('torch', 'cellpose', 'scipy') if m in sys.modules])"
    )
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_download_brings_the_whole_file(folder: Path, serve: Serve) -> None:
    body = zipped()
    serve(body)
    seen: list[tuple[int, int]] = []
    path = weights.ensure_weights("cpsam_v2", lambda done, total, _: seen.append((done, total)))
    assert path == folder / "cpsam_v2"
    assert path.read_bytes() == body
    assert left_over(folder) == ["cpsam_v2"]
    assert seen[-1] == (3, 3) and seen == sorted(seen)


def test_second_call_needs_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SOURCE_URL", "http://127.0.0.1:1/")
    folder.mkdir()
    (folder / "cpsam").write_bytes(b"w")
    assert weights.ensure_weights("cpsam") == folder / "cpsam"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"body": zipped(), "announced": 4 << 20}, "connection broke"),
        ({"body": b"<html>please log in</html>"}, "no checkpoint"),
        ({"body": b"", "status": 404}, "404"),
    ],
)
def test_bad_answer_leaves_nothing(
    folder: Path, serve: Serve, answer: dict[str, object], reason: str
) -> None:
    url = serve(**answer)
    with pytest.raises(WeightsUnavailableError, match=reason) as caught:
        weights.ensure_weights("cpsam_v2")
    message = str(caught.value)
    assert url + "cpsam_v2" in message and str(folder / "cpsam_v2") in message
    assert weights.ENVIRONMENT in message and "\n" not in message
    assert left_over(folder) == []


def test_no_network_fails_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(weights, "SOURCE_URL", f"http://127.0.0.1:{port}/")
    started = time.monotonic()
    with pytest.raises(WeightsUnavailableError, match="refused"):
        weights.ensure_weights("cpsam_v2")
    assert time.monotonic() - started < 5
    assert left_over(folder) == []


def test_silent_server_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.cellpose.weights.TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(weights, "SOURCE_URL", f"http://127.0.0.1:{port}/")
        with pytest.raises(WeightsUnavailableError, match="timed out"):
            weights.ensure_weights("cpsam_v2")
    assert left_over(folder) == []


def test_cancelled_download_leaves_nothing(folder: Path, serve: Serve) -> None:
    serve(zipped())

    def cancel(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.ensure_weights("cpsam_v2", cancel)
    assert left_over(folder) == []


def test_downloads_at_once_fetch_once(folder: Path, serve: Serve) -> None:
    serve(zipped())
    fetched: list[int] = []

    def fetch() -> None:
        weights.ensure_weights("cpsam_v2", lambda done, total, what: fetched.append(done))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left_over(folder) == ["cpsam_v2"]
    assert fetched.count(1) == 1


def test_unwritable_folder(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(zipped())
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv(weights.ENVIRONMENT, str(tmp_path / "file" / "weights"))
    with pytest.raises(WeightsUnavailableError, match="Not a directory"):
        weights.ensure_weights("cpsam_v2")


@pytest.mark.parametrize(("name", "hint"), [("cpsam_v3", "cpsam_v2"), ("cyto3", "or use cpsam_v2")])
def test_unknown_name_is_not_replaced_by_the_default(folder: Path, name: str, hint: str) -> None:
    with pytest.raises(CheckpointError, match=hint) as caught:
        weights.ensure_weights(name, no_progress)
    assert str(folder / name) in str(caught.value)


def test_sha256_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"abc")
    assert weights.sha256(path).startswith("ba7816bf")
    path.write_bytes(b"abcd")
    assert weights.sha256(path).startswith("88d4266f")


def test_licence_names_the_restriction() -> None:
    assert "CC-BY-NC" in weights.licence("cpsam_v2")
    assert "own.pt" in weights.licence("/home/someone/own.pt")
