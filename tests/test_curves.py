"""Curves show what a training did: none looks clean because a cell was left out."""

import math

import pytest

from stages.plumbing.errors import InputError
from stages.reporting.results import read_curve
from stages.reporting.studies import read_studies
from stages.tracking.curves import curve_points


@pytest.fixture
def curve(tmp_path):
    def read(text: str) -> list[dict]:
        (tmp_path / "1.csv").write_text(text)
        return read_curve(tmp_path / "1.csv")

    return read


def test_empty_cells_are_left_out(curve):
    assert curve("step,loss,kl\n1,2.5,\n2,,0.1\n") == [
        {"step": 1, "loss": 2.5},
        {"step": 2, "kl": 0.1},
    ]


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-inf", "Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("column", ["step", "loss"])
def test_a_cell_that_is_not_finite_names_its_line_and_column(curve, cell, column):
    row = {"step": "2", "loss": "1.5"} | {column: cell}
    with pytest.raises(InputError, match=rf"1\.csv:3: '{column}' is -?(nan|inf): the training div"):
        curve(f"step,loss\n1,2.5\n{row['step']},{row['loss']}\n3,1\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("step,loss\n1,low\n", r"1\.csv:2: no number in column 'loss'"),
        ("step,loss\n1,2\n2\n", r"1\.csv:3: has another number of cells"),
        ("step,loss\n1,2,3\n", r"1\.csv:2: has another number of cells"),
    ],
)
def test_a_broken_line_is_named(curve, text, told):
    with pytest.raises(InputError, match=told):
        curve(text)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "1.csv").write_bytes(b"step,loss\n1,\xff\n")
    with pytest.raises(InputError, match=r"1\.csv: not CSV in UTF-8"):
        read_curve(tmp_path / "1.csv")


def test_tracking_shows_what_is_no_number():
    points = curve_points("agent", [{"step": 1, "kl": math.nan, "reward": 0.5}])
    assert [(name, step) for name, step, _ in points] == [("agent/kl", 1), ("agent/reward", 1)]
    assert math.isnan(points[0][2])


@pytest.mark.parametrize("cell", ["nan", "inf", "1e999"])
def test_a_study_s_figure_is_finite(tmp_path, cell):
    head = "contrast,after,before,question_set,measure,seeds,mean,low,high,clear"
    rows = f"{head}\nPPO,a,b,all,em,5,0.1,{cell},0.2,True\n"
    (tmp_path / "laptop_contrasts.csv").write_text(rows)
    with pytest.raises(InputError, match=r"laptop_contrasts\.csv:2: no float in column 'low'"):
        read_studies(tmp_path)
