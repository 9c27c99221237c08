"""Metrics files as anybody may leave them: read by their schema, or one line; never a nonsense
figure in what reads them. METRICS_CASES=1000 for the long version."""

import contextlib
import io
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.metrics import table
from stages.metrics.reading import checked, read, read_usage, schema_of
from stages.metrics.schema import SCHEMAS
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.reporting.drift import drift_table, read_drift
from stages.reporting.overview import needed, sentences, verdict
from stages.reporting.page import Content, render_page
from stages.reporting.results import read_results
from stages.reporting.tables import curve_rows, plot_rows, result_rows
from stages.tools import collect, plan, summary

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path.relative_to(ROOT)
    for stage in SCHEMAS
    for path in (*ROOT.glob(f"metrics/{stage}.json"), *ROOT.glob(f"metrics/{stage}/*.json"))
)
NONSENSE = re.compile(r"\bnan\b|\binf\b|-\d[\d.]* (s|h)\b|NaN|Infinity")

NUMBERS = ["NaN", "-Infinity", "1e999", "-1", "2.0", "1e300", "5000", "0", "1" + "0" * 400, "-0.0"]
VALUES = st.one_of(
    st.sampled_from([*NUMBERS, "null", "true", '"1"', '"9"', '""', "[]", "{}", '"\\ud800"', "[1]"]),
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=4,
    ).map(json.dumps),
)


def places(value, path=()):
    """The path of every value in nested JSON."""
    yield path
    parts = enumerate(value) if isinstance(value, list) else ()
    for key, part in value.items() if isinstance(value, dict) else parts:
        yield from places(part, (*path, key))


@st.composite
def broken(draw):
    """(a file of this repo, its text with one value put in, taken out or written twice)."""
    file = draw(st.sampled_from(FILES))
    value = json.loads((ROOT / file).read_text())
    path = draw(st.sampled_from(list(places(value))))
    text, how = draw(VALUES), draw(st.sampled_from(["put", "put", "put", "drop", "twice"]))
    if not path:
        return file, text
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if how == "drop":
        del inner[path[-1]]
        return file, json.dumps(value)
    kept = json.dumps(inner[path[-1]])
    inner[path[-1]] = "@@"
    if how == "twice" and isinstance(path[-1], str):
        text = f"{kept}, {json.dumps(path[-1])}: {text}"
    return file, json.dumps(value).replace('"@@"', text)


def test_every_file_of_this_repo_keeps_its_schema():
    assert {schema_of(path) for path in FILES} >= set(SCHEMAS) - {
        *("baseline", "guest", "oracle", "replug", "first_query", "usage")  # which this run has not
    }
    for path in FILES:
        assert read(ROOT / path) == json.loads((ROOT / path).read_text())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "metrics", folder / "metrics")
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "stages").symlink_to(ROOT / "stages")
    return folder


def told(*calls) -> str:
    """What the readers print; each may end in one line that names what is wrong."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        for call in calls:
            try:
                print(call() or "")
            except InputError as error:
                assert "\n" not in str(error) and str(error).startswith(("metrics", "tmp/"))
                print("refused")
    return out.getvalue()


@contextlib.contextmanager
def put(checkout, file, text):
    place, kept = checkout / file, (checkout / file).read_bytes()
    try:
        place.write_text(text, encoding="utf-8")
        with contextlib.chdir(checkout):
            yield
    finally:
        place.write_bytes(kept)


def overview():
    results = read_results(Path("metrics"), load_params())
    rows = [*result_rows(results), *plot_rows(results), *curve_rows(results)]
    return [verdict(results), *sentences(results, []), needed(results, []), rows]


CASES = int(os.environ.get("METRICS_CASES", "100"))
QUICK = settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(broken())
def test_a_broken_file_is_read_by_its_schema_or_is_one_line(case):
    file, text = case
    kind = schema_of(file)
    try:
        value = checked(text, str(file), kind)
    except InputError as error:
        assert str(error).startswith(str(file)) and "\n" not in str(error)
        return
    for *_, number in table.rows(file.parent.name, file.stem, value):
        assert abs(number) <= 1e30
    SCHEMAS[kind].check(value, "", partial=True)  # what is whole is right as a part too


@settings(QUICK, max_examples=CASES // 10)
@given(broken())
def test_no_reader_says_nonsense_about_a_broken_file(checkout, case):
    file, text = case
    with put(checkout, file, text):
        said = told(
            overview,
            lambda: plan.main([]),
            lambda: summary.main([]),
            lambda: collect.main(["out.csv"]),
            lambda: drift_table(read_drift(Path("metrics/drift.json"))),
        )
    assert not NONSENSE.search(said), said


@settings(QUICK, max_examples=CASES // 25)
@given(broken())
def test_a_page_of_a_broken_file_is_whole_or_is_not_made(checkout, case):
    file, text = case
    with put(checkout, file, text):
        drift = Path("metrics/drift.json")
        told(
            lambda: render_page(
                Content(
                    read_results(Path("metrics"), load_params()), steps=[], drift=read_drift(drift)
                )
            )
        )


EM, IN = '"em": [0-9.]+', '"in": [0-9]+'


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("evaluate/1", (EM, '"em": NaN'), "em' is nan, which is no finite number"),
        (
            "evaluate/1",
            (EM, '"em": 1e999'),
            r"'sets\.indomain\.em' is inf, which is no finite",
        ),
        ("evaluate/1", (EM, '"em": 2.0'), "0 to 1, found 2"),
        ("evaluate/1", (EM, '"em": "1"'), "must be a number, found .* str"),
        ("evaluate/1", (EM, '"em": null'), "must be a number, found nothing"),
        ("evaluate/1", (EM, r'"em": 1, \g<0>'), "the key 'em' occurs twice"),
        ("evaluate/1", (EM, '"em": 0.999'), "'em' is above 'f1'"),
        ("evaluate/1", ('"agent": "1"', '"agent": "9"'), "agent is '9', and '1' by params"),
        ("evaluate/1", ('"agent": "1"', '"agent": 1'), "'agent' must be a text"),
        ("evaluate/1", ('"questions": 200', '"questions": 5000'), "not of this run: it has 3 "),
        ("evaluate/1", ('"sets": \\{', '"sets": {}, "s": {'), "'sets' is empty"),
        ("evaluate/1", ('"indomain"', '"all"'), "a question set is called 'all'"),
        ("evaluate/1", ('"indomain"', r'"a\\u202eb"'), "cannot be shown"),
        ("pairs/1", (IN, '"in": -5'), "'in' must be a whole number from 0"),
        ("pairs/1", (IN, '"in": 1000'), r"do not balance \(1000 in, \d+ out, \d+ dropped\)"),
        (
            "pairs/1",
            ('rate": [0-9.]+', 'rate": 0.01'),
            "'positive_selection_rate' is not 'out'",
        ),
        (
            "pairs/2",
            ('"instances": [0-9]+', '"instances": 1000'),
            r"retriever.*'in' is \d+, and 'inst",
        ),
        ("health/1", (EM, '"em": 0.5'), r"'em' is 0\.5 there, and 0\.\d+ by"),
        ("health/1", ('"shows": false', '"shows": true'), "'shown' are not the signatures"),
    ],
)
def test_what_is_wrong_is_named(checkout, file, change, said):
    text = (checkout / f"metrics/{file}.json").read_text()
    changed, count = re.subn(*change, text, count=1)
    assert count and changed != text
    with (
        put(checkout, f"metrics/{file}.json", changed),
        pytest.raises(InputError, match=said) as error,
    ):
        overview()
    assert str(error.value).startswith("metrics/")


USAGE = '{"stage": "index-0", "hours": %s, "memory_gib": 1.5, "gpu_memory_gib": null}'


@pytest.mark.parametrize("hours", ["NaN", "-1", "1e999", '"1"', "null", "[]", '1, "hours": 2'])
def test_a_broken_line_of_usage_is_named(tmp_path, hours):
    file = tmp_path / "usage.jsonl"
    file.write_text(f"{USAGE % 1}\n{USAGE % hours}\n")
    with pytest.raises(InputError, match=r"usage\.jsonl:2: .*; take the line out"):
        read_usage(file)
    file.write_text(f"{USAGE % 1}\n" + (USAGE % 1)[:20])  # by a process that was killed
    with pytest.raises(InputError, match=r"usage\.jsonl:2:1: not valid JSON"):
        read_usage(file)


def test_a_table_has_a_row_a_number_and_is_asked_by_name():
    metrics = {"a": {"questions": 2, "em": 0.5}, "b": {"questions": 3, "em": 1.0, "found": None}}
    other = {"b": {"questions": 3, "em": 0.25}}
    found = [
        *table.rows("evaluate", "1", {"agent": "1", "sets": metrics}),
        *table.rows("evaluate", "2", {"agent": "2", "sets": other}),
    ]
    whole = table.table(found)
    assert tuple(whole.columns) == table.COLUMNS and len(whole) == 6
    wide = table.by_set(whole, "em")
    assert list(wide.columns) == ["a", "b"] and list(wide.index) == ["1", "2"]
    assert wide.at["2", "a"] is None and wide.at["2", "b"] == 0.25
    assert list(table.numbers({"x": {"y": 1, "z": True}})) == [("x.y", 1)]
