"""Curves of the page as inline SVG: the same figures give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable

from stages.reporting.results import Results, agent_label, retriever_label

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe-Ito
MARKERS = "osD^vPX"
STYLE = {
    "svg.hashsalt": "agentic-r",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
PPO_CURVES = {  # column of metrics/agent/K.csv -> title
    "reward": "Reward",
    "em": "EM of the step's rollouts",
    "searches": "Searches per question",
    "kl": "KL to the base agent",
    "entropy": "Entropy",
    "response_length": "Tokens written per rollout",
}


def by_turn(results: Results, key: str, title: str, scale: float) -> str:
    """`key` of the flywheel's pairs (Agent K with R_K) over turns, one line a question set."""

    def draw(figure) -> None:
        axes = figure.subplots()
        turns = [pair.agent for pair in results.flywheel]
        places = list(range(len(turns)))
        for number, name in enumerate(results.sets):
            figures = [pair.sets[name] for pair in results.flywheel]
            values = [scale * row[key] for row in figures]
            around = [
                [scale * (row[key] - row[f"{key}_low"]) for row in figures],
                [scale * (row[f"{key}_high"] - row[key]) for row in figures],
            ]
            axes.errorbar(places, values, around, label=name, capsize=3, **_look(number))
        axes.set_xticks(places, [f"{agent_label(t)}\n+ {retriever_label(t)}" for t in turns])
        axes.set_title(title, loc="left")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=9)

    return _svg(draw, 5.2, 3.4)


def curves(results: Results, stage: str, columns: dict[str, str], label: Callable) -> str | None:
    """Small multiples: one panel a column that some turn has, one line a turn."""
    turns = results.curves[stage]
    there = {name for points in turns.values() for point in points for name in point}
    shown = [column for column in columns if column in there]
    if not shown:
        return None

    def draw(figure) -> None:
        width = min(3, len(shown))
        height = -(-len(shown) // width)
        grid = figure.subplots(height, width, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(shown):
                axes.set_visible(False)
                continue
            for number, (turn, points) in enumerate(turns.items()):
                kept = [p for p in points if shown[place] in p and "step" in p]
                values = [p[shown[place]] for p in kept]
                colour = COLOURS[number % len(COLOURS)]
                axes.plot([p["step"] for p in kept], values, color=colour, label=label(turn))
            axes.set_title(columns[shown[place]], loc="left", fontsize=10)
        grid.flat[0].legend(fontsize=9)

    return _svg(draw, 3.3 * min(3, len(shown)), 2.5 * -(-len(shown) // 3))


def ppo_curves(results: Results) -> str | None:
    """Reward, EM, searches, KL, entropy and length of every turn's PPO."""
    return curves(results, "agent", PPO_CURVES, agent_label)


def retriever_loss(results: Results) -> str | None:
    """The contrastive loss of every turn's retriever."""
    return curves(results, "retriever", {"loss": "Contrastive loss by step"}, retriever_label)


def _look(number: int) -> dict:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    return {"color": colour, "marker": marker}


def _svg(draw: Callable, width: float, height: float) -> str:
    """An `<svg>` element of `width` x `height` inches that scales with the page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
