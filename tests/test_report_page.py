"""How the page looks: on a phone, on a dark screen, and with studies of other runs folded."""

import re
import shutil
from pathlib import Path

import flywheel_files
import pytest
from chromium import dom_of
from omegaconf import OmegaConf
from test_report import ARGUMENTS, GRID

from stages import report
from stages.common.records import write_text

STUDIES = Path(__file__).parents[1] / "metrics/studies"
STYLE = Path(report.__file__).parent / "reporting/templates/style.css"
PHONE = 375


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a run of two iterations, with all studies that are kept in git, and a grid."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("stages.tracking.rebuilding.rebuild", lambda *given: None)
        flywheel_files.write_flywheel(folder)
        shutil.copytree(STUDIES, folder / "metrics/studies")
        write_text(folder / "metrics/studies/arena_grid.csv", GRID)
        params = flywheel_files.params()
        params.report.cases_per_kind = 2
        OmegaConf.save(OmegaConf.structured(params), "params.yaml")
        report.main(ARGUMENTS.split())
    return folder / "data/report/index.html"


MEASURE = """<iframe src="data/report/index.html" style="width: %dpx; border: 0"></iframe>
<pre></pre><script>document.querySelector("iframe").onload = (event) => {
  const page = event.target.contentDocument;
  page.querySelectorAll("details").forEach((one) => { one.open = true; });
  document.querySelector("pre").textContent = "width " + page.documentElement.scrollWidth;
};</script>"""


def test_nothing_is_wider_than_a_phone(page, browser):
    root = page.parents[2]
    write_text(root / "measure.html", MEASURE % PHONE)
    dom = dom_of(browser, root, "measure.html")
    (width,) = re.findall(r"<pre>width (\d+)</pre>", dom)
    assert int(width) <= PHONE


def test_studies_of_other_runs_are_folded(page):
    text = page.read_text()
    section = text[text.index('<h2 id="studies">') : text.index('<section aria-labelledby="train')]
    names = re.findall(r'<details class="table"><summary><h3>([^<]+)</h3>', section)
    assert names == [
        "arena",
        "harness",
        "iterations",
        "judge",
        "laptop",
        "price",
        "transfer",
        "window",
    ]
    depth = 0
    for tag in re.findall(r"<(/?details\b|table|svg|h4)", section):
        depth += {"details": 1, "/details": -1}.get(tag, 0)
        assert depth > 0 or tag == "/details", f"{tag} stands open"
    assert "<details open" not in text


def colours():
    """[light, dark]: the variables of style.css by name."""
    blocks = re.findall(r":root \{ ([^}]*--ink[^}]*)\}", STYLE.read_text())
    return [dict(re.findall(r"(--[\w-]+): (#\w+);", block)) for block in blocks]


def brightness(colour):
    """Relative luminance, as WCAG 2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(c + c for c in colour[1:])
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    high, low = sorted((brightness(one), brightness(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_charts_have_the_colours_of_the_page(page):
    pictures = re.findall(r"<svg.*?</svg>", page.read_text(), re.DOTALL)
    painted = {c for svg in pictures for c in re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)}
    assert painted >= {"none", "var(--ink)", "var(--curve-1)", "var(--curve-2)"}
    named = {paint[4:-1] for paint in painted - {"none"}}
    for scheme in colours():
        assert named <= scheme.keys(), "a colour that stands in the picture itself"
    assert not re.search(r"svg[^{]*\{[^}]*background", STYLE.read_text())


def test_curves_can_be_read_on_a_dark_page():
    light, dark = colours()
    curves = [name for name in dark if name.startswith("--curve")]
    assert len(curves) == 7 and len({dark[name] for name in curves}) == 7
    for name in [*curves, "--ink", "--soft"]:
        assert contrast(dark[name], dark["--page"]) > 4.5, name
    assert contrast("#000000", "#ffffff") == 21
    assert contrast(light["--ink"], light["--page"]) > 7
