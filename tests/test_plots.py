"""What `dvc plots show` draws: of any run's iterations and sets, and without a network."""

import csv
import json
import re
import shutil
import subprocess

import pytest
import yaml
from checkout import ROOT, command, copy_of_checkout

SPEC = re.compile(r"var spec = (\{.*?\});\n", re.DOTALL)
SETS = ("museums", "rivers")
TEMPLATE = ROOT / ".dvc/plots/page.html"
KEY = re.compile(r'<span class="key"><svg.*?</svg>([^<]*)</span>')
LINE = re.compile(r'<polyline [^>]*stroke="([^"]*)"[^>]*stroke-dasharray="([^"]*)"')
MARK = re.compile(r'<path class="mark" d="([^"]*)" stroke="([^"]*)"[^>]*scale\(([^)]*)\)')


def write(path, columns: str, rows) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns.split(","), *rows])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a run of three iterations over question sets that nobody here has heard of."""
    copy = copy_of_checkout(tmp_path_factory.mktemp("plots"))
    pairs = [(t, f"Agent_{t} + R_{t}") for t in "0123"] + [("", "Agent_3 + BM25")]
    rows = [(iteration, name, pair, 0.5, 0.5, 2) for iteration, pair in pairs for name in SETS]
    write(copy / "metrics/report.csv", "iteration,set,pair,em,f1,searches", rows)
    steps = [(iteration, step, 0.5, 0.5, 2, 0.1, "", 30) for iteration in "123" for step in (1, 2)]
    columns = "iteration,step,reward,em,searches,kl,entropy,response_length"
    write(copy / "metrics/curves.csv", columns, steps)
    command(copy, "dvc", "plots", "show", "-o", "drawn")
    return copy / "drawn/index.html"


def specs(page) -> list[dict]:
    return [json.loads(text) for text in SPEC.findall(page.read_text())]


def test_every_plot_has_a_title_and_names_its_axes(page):
    plots = specs(page)
    titles = [plot["title"] for plot in plots]
    assert len(set(titles)) == len(titles) > 8
    for plot in plots:
        assert plot["usermeta"] == {"drawn": "page.html"} and plot["title"]
        for axis in ("x", "y"):
            encoding = plot["encoding"][axis]
            assert encoding["title"] not in ("", "y", "x") and "DVC_METRIC" not in str(encoding)


def test_iterations_and_sets_appear_by_themselves(page):
    plots = {plot["title"].partition(":")[0]: plot for plot in specs(page)}
    by_iteration = plots["Exact match by iteration"]
    assert {row["set"] for row in by_iteration["data"]["values"]} == set(SETS)
    assert {"0", "1", "2", "3"} <= {row["iteration"] for row in by_iteration["data"]["values"]}
    assert by_iteration["encoding"]["color"]["field"] == "set"
    listed = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    assert not re.search(r"indomain|relations|singlehop|/\d", json.dumps(listed))


def test_nothing_is_fetched_to_draw_them(page):
    text = re.sub(r"<template.*?</template>", "", page.read_text(), flags=re.DOTALL)
    text = re.sub(r'"\$schema": "[^"]*"|"http://www.w3.org/2000/svg"', "", text)
    assert "http" not in text and "<link" not in text and "src=" not in text


def drawn(page) -> dict[str, str]:
    """What a browser makes of each chart, by its title."""
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    words += ["--virtual-time-budget=3000", f"file://{page}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return dict(re.findall(r"<h2>(.*?)</h2>(.*?)(?=<h2>|</body>)", done.stdout, re.DOTALL))


in_a_browser = pytest.mark.skipif(not shutil.which("chromium"), reason="no browser is here")


@in_a_browser
def test_a_browser_draws_every_line(page):
    bodies = drawn(page)
    lines = {title.partition(":")[0]: text.count("<polyline") for title, text in bodies.items()}
    assert lines["Exact match by iteration"] == len(SETS) and lines["Searches by iteration"] == len(
        SETS
    )
    curves = {title: text.count("<polyline") for title, text in bodies.items() if "PPO:" in title}
    assert curves["PPO: searches"] == 3
    assert curves["PPO: entropy"] == 0 and "nothing to draw yet" in bodies["PPO: entropy"]


@in_a_browser
@pytest.mark.parametrize("name", ["by_iteration", "by_set", "by_pair", "curve"])
def test_no_two_sets_or_revisions_look_alike(name, tmp_path):
    """The paper's seven sets with eight of one's own, in six revisions."""
    sets, revisions = [f"set {n}" for n in range(15)], [f"revision {n}" for n in range(6)]
    text = (ROOT / f".dvc/plots/{name}.json").read_text()
    spec = json.loads(re.sub(r"<DVC_METRIC_(\w+)>", r"\1", text))
    spec["data"]["values"] = [
        {"set": name, "iteration": name, "rev": revision, "X": at, "Y": at}
        for name in sets
        for revision in revisions
        for at in (0, 1)
    ]
    call = f'<div id="plot"></div><script>vegaEmbed("#plot", {json.dumps(spec)});</script>'
    page = tmp_path / "page.html"
    page.write_text(
        re.sub(r"{refresh_tag}|{scripts}", "", TEMPLATE.read_text()).replace("{plot_divs}", call)
    )
    [chart] = drawn(page).values()
    many = len(revisions) if name == "curve" else len(sets) * len(revisions)
    assert len(set(KEY.findall(chart))) == many
    figure = chart.partition("</svg>")[0]
    lines, marks = LINE.findall(figure), MARK.findall(figure)
    assert bool(lines) == (spec["mark"]["type"] == "line")
    if lines:
        assert len(set(lines)) == len(lines) == many
    if marks:
        assert len(set(marks)) == many and len(marks) == 2 * many
    assert marks or lines
