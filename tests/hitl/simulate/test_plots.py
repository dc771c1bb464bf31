"""Tables and plots of simulations."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from hitl.cli.console import plain
from hitl.cli.printing.simulate import simulated
from hitl.simulate.plots import markdown_table, save_plot
from hitl.simulate.rounds import simulate
from tests.hitl.simulate.spheroid_cases import spheroid


def test_results_are_written_as_json_csv_table_and_plot(tmp_path: Path) -> None:
    done = simulate([spheroid(0)], rounds=2, strategies=["size", "random"], repeats=2)
    data, table = simulated(done)
    json.dumps(plain(data), allow_nan=False)
    rows = list(csv.DictReader(io.StringIO(done.to_csv())))
    assert len(rows) == sum(len(c.points) for cs in done.curves.values() for c in cs)
    assert rows[0]["objects"] == "0" and {r["strategy"] for r in rows} == {"size", "random"}
    assert table.row_count == 2
    text = markdown_table({"small": done})
    assert text.count("\n") == 4 and "| small | random |" in text
    save_plot(tmp_path / "plot.png", {"small": done})
    assert (tmp_path / "plot.png").stat().st_size > 10_000
