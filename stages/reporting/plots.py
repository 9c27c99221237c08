"""Curves of the page as inline SVG: the same figures give the same bytes.

Their colours are the page's own variables, so that they can be read on a dark page too.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from stages.reporting.results import Results, agent_label, retriever_label
from stages.reporting.studies import front
from stages.reporting.study_rows import LabelPrice

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe-Ito
INK = "#1b1f24"  # of words, axes and grid
VARIABLES = {INK: "--ink"} | {colour: f"--curve-{n}" for n, colour in enumerate(COLOURS, 1)}
PAINT = re.compile(r"\b(fill|stroke): (#[0-9a-f]{6})")
MARKERS = "osD^vPX"
STYLE = {
    "svg.hashsalt": "agentic-r",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 11,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "grid.color"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.15,
    "legend.frameon": False,
}
NUMBERED = re.compile(r' id="[\w.]+_\d+"')  # the same in every picture, and never referred to
PPO_CURVES = {  # column of metrics/agent/K.csv -> title
    "reward": "Reward",
    "em": "EM of the step's rollouts",
    "searches": "Searches per question",
    "kl": "KL to the base agent",
    "entropy": "Entropy",
    "response_length": "Tokens written per rollout",
}


LIMIT_CURVES = {  # drawn where any of it happened
    "cut": "Observations cut per rollout",
    "refused": "Turns refused per rollout",
    "lost": "Share of questions lost to a full context",
}


def by_iteration(results: Results, key: str, title: str, scale: float) -> str:
    """`key` of the flywheel's pairs (Agent K with R_K) over iterations, one line a question set."""

    def draw(figure) -> None:
        axes = figure.subplots()
        iterations = [pair.agent for pair in results.flywheel]
        positions = list(range(len(iterations)))
        for number, name in enumerate(results.sets):
            parts = [pair.sets[name] for pair in results.flywheel]
            means, ends = [getattr(p, key) for p in parts], [p.ends(key) for p in parts]
            both = list(zip(means, ends, strict=True))
            values = [scale * mean for mean in means]
            around = [
                [max(0.0, scale * (mean - low)) for mean, (low, _) in both],
                [max(0.0, scale * (high - mean)) for mean, (_, high) in both],
            ]
            axes.errorbar(positions, values, around, label=name, capsize=3, **_look(number))
        axes.set_xticks(
            positions, [f"{agent_label(t)}\n+ {retriever_label(t)}" for t in iterations]
        )
        axes.set_title(title, loc="left")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=9)

    return _svg(draw, 5.2, 3.4, title)


def curves(results: Results, stage: str, columns: dict[str, str], label: Callable) -> list[str]:
    """One small picture for each column that some iteration has, one line an iteration."""
    iterations = results.curves[stage]
    there = {name for points in iterations.values() for point in points for name in point}
    return [
        _curve(iterations, column, title, label)
        for column, title in columns.items()
        if column in there
    ]


def _curve(iterations: dict, column: str, title: str, label: Callable) -> str:
    def draw(figure) -> None:
        axes = figure.subplots()
        for number, (iteration, points) in enumerate(iterations.items()):
            kept = [p for p in points if column in p and "step" in p]
            colour = COLOURS[number % len(COLOURS)]
            values = [p[column] for p in kept]
            axes.plot([p["step"] for p in kept], values, color=colour, label=label(iteration))
        axes.set_title(title, loc="left", fontsize=10)
        axes.legend(fontsize=9)

    return _svg(draw, 3.3, 2.5, f"{title}, by step")


def ppo_curves(results: Results) -> list[str]:
    """Reward, EM, searches, KL, entropy and length of every iteration's PPO."""
    points = [point for iteration in results.curves["agent"].values() for point in iteration]
    told = {k: title for k, title in LIMIT_CURVES.items() if any(p.get(k) for p in points)}
    return curves(results, "agent", PPO_CURVES | told, agent_label)


def retriever_loss(results: Results) -> list[str]:
    """The contrastive loss of every iteration's retriever."""
    return curves(results, "retriever", {"loss": "Contrastive loss"}, retriever_label)


def price_chart(rows: list[LabelPrice]) -> list[str]:
    """EM of R_1 against what its labels cost, in tokens and in rollouts, with the Pareto front."""
    costs = {"tokens": "tokens read and written", "rollouts": "rollouts"}
    return [_price(rows, cost, title) for cost, title in costs.items()]


def _price(rows: list[LabelPrice], cost: str, title: str) -> str:
    from matplotlib.ticker import EngFormatter

    rows = sorted(rows, key=lambda row: getattr(row, cost))
    points = [(getattr(row, cost), 100 * row.em) for row in rows]

    def draw(figure) -> None:
        axes = figure.subplots()
        best = zip(*front(points), strict=True)
        axes.step(*best, where="post", color=COLOURS[1], label="Pareto front")
        for number, (row, point) in enumerate(zip(rows, points, strict=True)):
            around = [[100 * (row.em - row.em_low)], [100 * (row.em_high - row.em)]]
            axes.errorbar(*point, around, fmt="o", color=COLOURS[0], capsize=3)
            place = (6, 5) if number % 2 else (6, -13)  # neighbours do not cover each other
            name = row.variant.replace("_", " ")
            axes.annotate(name, point, place, textcoords="offset points", fontsize=9)
        least = min((x for x, _ in points if x > 0), default=1)
        axes.set_xscale("symlog", linthresh=least)  # logarithmic, and 0 has a place
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.margins(x=0.2)
        axes.set_title("EM of Agent_1 + R_1 (%)", loc="left", fontsize=10)
        axes.set_xlabel(f"{title} (logarithmic)")
        axes.legend(fontsize=9, loc="lower right")

    return _svg(draw, 5.2, 3.4, f"Exact match by {title}")


def _look(number: int) -> dict:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    return {"color": colour, "marker": marker}


def _svg(draw: Callable, width: float, height: float, name: str) -> str:
    """An `<svg>` element of `width` x `height` inches that scales with the page; `name` says to
    those who do not see it what it shows."""
    import matplotlib
    from markupsafe import escape
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = NUMBERED.sub("", text[text.index("<svg") :])
    text = PAINT.sub(lambda found: f"{found[1]}: var({VARIABLES[found[2]]})", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(name)}"', 1)
