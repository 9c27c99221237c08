"""Intervals: against scipy where it has the design, and by their coverage when simulated."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from stages.evaluation.intervals import by_cluster, clustered, crossed, holm, nested

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import intervals as simulated


def of_scipy(values):
    found = stats.ttest_1samp(values, 0)
    return [found.pvalue, *found.confidence_interval()]


def test_the_interval_of_seeds_is_that_of_scipys_t_test():
    seeds = [0.02, 0.05, -0.01, 0.04]
    found = nested(seeds)
    assert [float(found.p()), *map(float, found.bounds())] == pytest.approx(of_scipy(seeds))


def test_equal_clusters_are_one_observation_each():
    values = np.random.default_rng(0).normal(size=(40, 3))
    sums, counts = by_cluster(list(values.ravel()), list(np.repeat(np.arange(40), 3)))
    found = clustered(sums, counts)
    assert [float(found.p()), *map(float, found.bounds())] == pytest.approx(
        of_scipy(values.mean(axis=1))
    )


def test_unequal_clusters_are_a_regressions_sandwich():
    draw = np.random.default_rng(1)
    of = draw.integers(30, size=100)
    values = draw.normal(size=100) + of / 10
    groups = np.unique(of)
    one = np.ones((100, 1))
    bread = np.linalg.inv(one.T @ one)
    left = values - values.mean()
    meat = sum(
        one[of == g].T @ np.outer(left[of == g], left[of == g]) @ one[of == g] for g in groups
    )
    variance = len(groups) / (len(groups) - 1) * (bread @ meat @ bread)[0, 0]
    found = clustered(*by_cluster(list(values), list(of)))
    assert float(found.mean) == pytest.approx(values.mean())
    assert float(found.error) == pytest.approx(variance**0.5)
    assert float(found.freedom) == len(groups) - 1


def test_crossed_is_the_analysis_of_variance_of_two_random_ways():
    values = np.random.default_rng(2).normal(size=(4, 50)) + np.arange(50) / 20
    values += np.array([0.0, 0.2, 0.4, 0.1])[:, None]
    found = crossed(values, np.ones_like(values))
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    rest = values - rows[:, None] - columns + values.mean()
    squares = 50 * rows.var(ddof=1), 4 * columns.var(ddof=1), (rest**2).sum() / (3 * 49)
    assert float(found.error) ** 2 == pytest.approx((squares[0] + squares[1] - squares[2]) / 200)
    assert found.freedom > 3, "the seeds differ little, so questions count too"


def test_what_is_the_same_everywhere_has_no_width():
    none, all_of_it = nested([0.0, 0.0]), nested([1.0, 1.0])
    assert (float(none.p()), float(all_of_it.p())) == (1, 0)
    assert [float(end) for end in none.bounds()] == [0, 0]
    still = crossed(np.zeros((2, 5)), np.ones((2, 5)))
    assert [float(end) for end in still.bounds()] == [0, 0] and float(still.p()) == 1


WORLDS = simulated.WORLDS
NORMAL = [name for name in WORLDS if "loses" not in name]


@pytest.mark.parametrize("name", NORMAL)
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_seeds_means_cover_what_they_say(name, seeds):
    """4,000 seeds' means drawn from the normal that many questions come to."""
    world, draw = WORLDS[name], np.random.default_rng(seeds)
    noise = np.sqrt(world.moved / world.questions) * draw.standard_normal((4000, seeds))
    means = simulated.effects(world, (4000, seeds), draw) + noise
    held, _ = simulated.share_held(nested(means), world.truth)
    assert 0.935 < held < (0.985 if world.uneven else 0.965)


@pytest.mark.parametrize("seeds", [3, 5])
def test_seeds_means_of_whole_experiments_cover_what_they_say(seeds):
    world = WORLDS["seeds differ by 2 points"]
    held, _ = simulated.of_nested(world, seeds, 1000, np.random.default_rng(0))
    assert 0.93 < held < 0.97


def test_a_collapse_that_few_seeds_show_is_not_covered():
    world, draw = WORLDS["one seed in five loses 15 points"], np.random.default_rng(0)
    held, _ = simulated.of_nested(world, 5, 1000, draw)
    assert 0.75 < held < 0.92, "the page says so"


def test_one_test_set_for_all_seeds_needs_the_crossed_interval():
    world, draw = WORLDS["seeds do not differ"], np.random.default_rng(0)
    (held, _), (wrong, _) = simulated.of_crossed(world, 10, 500, draw)
    assert held > 0.93 and wrong < 0.9


def test_one_run_needs_its_chains():
    (held, _), (alone, _) = simulated.of_one_run(simulated.World(), 1000, np.random.default_rng(0))
    assert 0.93 < held < 0.975 and alone < 0.93


def test_holm_multiplies_the_least_p_by_the_family():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01], family=5) == pytest.approx([0.05])
    assert holm([0.6, 0.5]) == [1.0, 1.0] and holm([]) == []
