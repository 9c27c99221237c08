"""What a stage holds in memory does not grow with the questions: rows are read one by one."""

import gc
import random
import tracemalloc
from collections import deque
from pathlib import Path

import flywheel_files
from rows import trajectory_row

from stages import pairs
from stages.common.candidates import by_trajectory, iter_graded
from stages.common.records import Passage, write_jsonl, write_passages
from stages.correctness import CHUNK, _chunks
from stages.reporting.labelled import read_labelled
from stages.reporting.predictions import read_all_predictions
from stages.reporting.results import read_results

ROOT = Path(__file__).parents[1]
FEW, MANY = 30, 120


def peak(work) -> int:
    """The most bytes that `work` held at a time: the least of three runs, as garbage that waits to
    be collected (parsed parameters are full of cycles) counts too."""
    peaks = []
    for _ in range(3):
        gc.collect()
        tracemalloc.start()
        try:
            work()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)


def write_labels(folder, questions: int) -> None:
    """A query of each question with 20 of 50 passages, all labelled."""
    draw = random.Random(0)
    write_passages(
        folder / "passages.jsonl", [Passage(f"p{n}", f"T{n}", "text " * 40) for n in range(50)]
    )
    files = {name: [] for name in ("trajectories", "candidates", "relevance", "correctness")}
    for number in range(questions):
        ids = [f"p{n}" for n in draw.sample(range(50), 20)]
        query = {"id": f"q{number}#0", "question_id": f"q{number}", "turn": 0}
        asked = {"question": f"question {number}", "query": "a", "history": [], "thought": ""}
        hits = [{"id": name, "score": 1.0} for name in ids]
        best = draw.choice(ids)
        rows = (
            trajectory_row(f"q{number}", question=f"question {number}"),
            query | asked | {"candidates": hits},
            {"id": query["id"], "sub_answer": None, "scores": {n: 90 * (n == best) for n in ids}},
            {"id": query["id"], "scores": {best: 1}},
        )
        for file, row in zip(files.values(), rows, strict=True):
            file.append(row)
    for name, rows in files.items():
        write_jsonl(folder / f"{name}.jsonl", rows)


def selecting(folder, questions: int):
    """The stage pairs on so many questions."""
    folder.mkdir()
    write_labels(folder, questions)
    files = ("candidates", "relevance", "correctness", "visits", "passages")
    words = [word for name in files for word in (f"--{name}", str(folder / f"{name}.jsonl"))]
    words += ["--output", str(folder / "pairs.jsonl"), "--metrics", str(folder / "pairs.json")]
    return lambda: pairs.main([*words, "--iteration", "1"])


def test_pairs_hold_the_ids_of_queries_and_no_row(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # for its parameters
    few, many = selecting(tmp_path / "few", FEW), selecting(tmp_path / "many", MANY)
    few()  # what is imported and compiled once is no growth
    grown = (peak(many) - peak(few)) / (MANY - FEW)
    assert grown < 1000, "bytes a query; a row of candidates and labels has ten times as many"


def test_graded_queries_are_read_beside_their_trajectories(tmp_path):
    for name, count in (("few", FEW), ("many", MANY)):
        (tmp_path / name).mkdir()
        write_labels(tmp_path / name, count)

    def read(name):
        files = [tmp_path / name / f"{n}.jsonl" for n in ("candidates", "relevance")]
        rows = iter_graded(*files)
        told = by_trajectory(
            tmp_path / name / "trajectories.jsonl", rows, lambda row: row[0].query, files[0]
        )
        deque(told, maxlen=0)

    read("few")
    grown = (peak(lambda: read("many")) - peak(lambda: read("few"))) / (MANY - FEW)
    assert grown < 1000


def test_queries_advance_in_chunks_of_one_size():
    told = [(number, [number] * 3) for number in range(CHUNK)]
    sizes = [sum(len(rows) for _, rows in chunk) for chunk in _chunks(iter(told))]
    assert sum(sizes) == 3 * CHUNK and all(CHUNK <= size < CHUNK + 3 for size in sizes[:-1])
    assert [number for chunk in _chunks(iter(told)) for number, _ in chunk] == [*range(CHUNK)]


def test_the_report_keeps_of_a_prediction_what_it_counts(tmp_path, monkeypatch):
    """Bytes a question under all six pairs: twenty times less than whole trajectories of texts as
    short as these."""
    monkeypatch.chdir(tmp_path)  # where no dvc.lock is
    params = flywheel_files.params()
    folders = {}
    for name, count in (("few", FEW), ("many", MANY)):
        folders[name] = tmp_path / name
        flywheel_files.write_flywheel(folders[name], count)

    def read(name):
        results = read_results(folders[name] / "metrics", params)
        found = read_all_predictions(folders[name] / "data/predictions", results)
        read_labelled(folders[name] / "data", ["1", "2"], params)
        assert len(found["2"]) == len(flywheel_files.SETS) * (FEW if name == "few" else MANY)

    read("few")
    grown = peak(lambda: read("many")) - peak(lambda: read("few"))
    assert grown / (len(flywheel_files.SETS) * (MANY - FEW)) < 6000
