"""Corpora and question sets from files and from the hub."""

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import real_files
import yaml
from real_files import needs

from stages import index
from stages.common.records import Passage, read_passages, read_questions, write_passages
from stages.common.search import SearchRequest
from stages.composing.compose import compose_unchecked
from stages.params import Compute, Params, Questions, load_params
from stages.planning.sizes import sizes
from stages.plumbing.errors import InputError
from stages.retrieval.searcher import load_searcher
from stages.sources.description import local_path, question_files, read_description
from stages.sources.passages import copy_passages, passages_of
from stages.sources.questions import Sets, read_sets, with_supporting_ids
from stages.tools import ask

REPO = Path(__file__).parents[1]


def lines(path: Path, rows: list[dict]) -> str:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return str(path)


def local(path: str) -> dict:
    """The entry of a local file."""
    return {"path": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}


def described(path: Path, blocks: dict) -> str:
    path.write_text(yaml.safe_dump(blocks))
    return str(path)


def question(number: int, titles: list[str]) -> dict:
    """A row of FlashRAG's HotpotQA."""
    return {
        "id": f"train_{number}",
        "question": f"q{number}",
        "golden_answers": ["a"],
        "metadata": {
            "type": "bridge",
            "supporting_facts": {"title": [titles[0], titles[0]], "sent_id": [0, 1]},
            "context": {"title": titles, "sentences": [["One. ", f"{t}."] for t in titles]},
        },
    }


def test_a_gzipped_corpus_is_copied_as_it_is(tmp_path):
    rows = [{"id": str(i), "contents": f'"T{i}"\ntext {i}'} for i in range(20)]
    parts = [lines(tmp_path / "a.jsonl.gz", rows[:15]), lines(tmp_path / "b.jsonl", rows[15:])]
    source = described(tmp_path / "d.yaml", {"passages": [local(part) for part in parts]})
    assert copy_passages(source, tmp_path / "out.jsonl") == 20
    assert [vars(p) for p in read_passages(tmp_path / "out.jsonl")] == [
        {"id": str(i), "heading": f'"T{i}"', "text": f"text {i}"} for i in range(20)
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "7", "contents": "t\nx"}, {"id": "7", "contents": "t\ny"}], r"p\.jsonl:2: its id"),
        ([{"id": "7", "contents": "t\nx"}, {"id": "8"}], r"p\.jsonl:2: the key 'contents'"),
        ([], "holds no passage"),
    ],
)
def test_a_bad_corpus_names_the_line_and_leaves_no_file(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        copy_passages(lines(tmp_path / "p.jsonl", rows), tmp_path / "out" / "passages.jsonl")
    assert not (tmp_path / "out" / "passages.jsonl").exists()


def test_a_cut_gzip_file_is_named(tmp_path):
    path = Path(lines(tmp_path / "p.jsonl.gz", [{"id": "1", "contents": "t\n" + "x" * 999}]))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"p\.jsonl\.gz:\d+: the gzip file is broken"):
        list(passages_of(path))


def test_memory_stays_flat_while_a_corpus_is_copied(tmp_path):
    text = "x" * 10_000
    lines(
        tmp_path / "p.jsonl", [{"id": str(i), "contents": f"t{i}\n{text}"} for i in range(20_000)]
    )
    program = f"""
import resource
from pathlib import Path
from stages.sources.passages import copy_passages
from stages.plumbing.usage import resident_kib
before = resident_kib(resource.getrusage(resource.RUSAGE_SELF))
copy_passages({str(tmp_path / "p.jsonl")!r}, Path({str(tmp_path / "out.jsonl")!r}))
print((resident_kib(resource.getrusage(resource.RUSAGE_SELF)) - before) / 1024)
"""
    grown = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True
    )
    assert float(grown.stdout) < 50  # MiB, of a corpus of 200


def test_contexts_make_a_corpus_that_holds_what_supports(tmp_path):
    rows = [question(0, ["A", "B"]), question(1, ["C", "A"])]
    source = described(
        tmp_path / "c.yaml", {"contexts": [local(lines(tmp_path / "q.jsonl", rows))]}
    )
    assert copy_passages(source, tmp_path / "out.jsonl") == 3
    passages = read_passages(tmp_path / "out.jsonl")
    assert {p.title: p.text for p in passages} == {t: f"One. {t}." for t in "ABC"}


def test_contexts_may_follow_the_passages_of_a_corpus(tmp_path):
    own = lines(tmp_path / "p.jsonl", [{"id": "7", "contents": "Z\nOne. Z."}])
    rows = lines(tmp_path / "q.jsonl", [question(0, ["A"])])
    blocks = {"contexts": [local(rows)], "passages": [local(own)]}
    source = described(tmp_path / "c.yaml", blocks)
    assert copy_passages(source, tmp_path / "out.jsonl") == 2
    assert [p.text for p in read_passages(tmp_path / "out.jsonl")] == ["One. Z.", "One. A."]
    for other in ({"passages": [local(own)], "train": {"a": local(rows)}}, {"test": {}}):
        with pytest.raises(InputError, match=r"c\.yaml: "):
            copy_passages(described(tmp_path / "c.yaml", other), tmp_path / "no.jsonl")


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"title": 3, "sentences": [["x"]]}, "needs a text for each title"),
        ({"title": ["A", "B"], "sentences": [["x"]]}, "needs a text for each title"),
        ({"title": [["A"]], "sentences": [["x"]]}, "must hold texts"),
        ({"title": ["A"], "sentences": [[1]]}, "must hold texts"),
        ({"title": ["A"], "content": [None]}, "must hold texts"),
        ({"title": ["A"], "sentences": [["\ud800"]]}, "holds half a surrogate pair"),
        ("x", "has no 'metadata.context'"),
    ],
)
def test_a_bad_context_names_its_line(tmp_path, context, message):
    rows = [question(0, ["A"]), {"id": "1", "metadata": {"context": context}}]
    file = lines(tmp_path / "q.jsonl", rows)
    source = described(tmp_path / "c.yaml", {"contexts": [local(file)]})
    with pytest.raises(InputError, match=rf"q\.jsonl:2: .*{message}"):
        copy_passages(source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_titles_of_facts_that_are_no_texts_are_left_out(tmp_path):
    row = question(0, ["A"])
    row["metadata"]["supporting_facts"]["title"] = ["A", ["B"], None, "A"]
    file = {"hotpotqa": local(lines(tmp_path / "q.jsonl", [row]))}
    sets = read_sets(Questions(described(tmp_path / "d.yaml", {"train": file, "test": file})), 0)
    assert sets.train[0].metadata["supporting_titles"] == ["A"]


MUSIQUE = [
    {"question": "a", "answer": "x", "support_paragraph": {"title": "B", "paragraph_text": "b"}},
    {"question": "#1", "answer": "y", "support_paragraph": {"title": "A", "paragraph_text": "a"}},
]
PLACES = [{"question": "a", "paragraph_support_idx": 4}, {"paragraph_support_idx": 0}]
TOLD = [{"paragraph_support_idx": "4"}, {"paragraph_support_idx": 0.0}]
PARAGRAPHS = [{"idx": 0, "title": "A", "paragraph_text": "a"}, {"idx": 4, "title": "B"}]


@pytest.mark.parametrize(
    ("metadata", "titles"),
    [
        ({"supporting_facts": {"title": ["B", "A", "B"], "sent_id": [0, 1, 2]}}, ["B", "A"]),
        ({"supporting_facts": [["B", 0], ["A", 3], ["B", 1]]}, ["B", "A"]),
        ({"question_decomposition": MUSIQUE}, ["B", "A"]),
        ({"question_decomposition": [*MUSIQUE, MUSIQUE[0]]}, ["B", "A", "B"]),
        ({"question_decomposition": PLACES, "paragraphs": PARAGRAPHS}, ["B", "A"]),
        ({"question_decomposition": [None, {}, {"support_paragraph": 3}]}, None),
        ({"supporting_titles": ["A"], "supporting_facts": {"title": ["B"]}}, ["A"]),
        ({"supporting_facts": [{"title": "B", "sent_id": 0}, {"title": "A"}]}, ["B", "A"]),
        ({"supporting_facts": ["B", "A", "B"]}, ["B", "A"]),
        ({"supporting_facts": [], "question_decomposition": MUSIQUE}, ["B", "A"]),
        ({"supporting_facts": {"title": []}, "question_decomposition": MUSIQUE}, ["B", "A"]),
        ({"supporting_facts": []}, None),
        ({"question_decomposition": TOLD, "paragraphs": PARAGRAPHS}, ["B", "A"]),
        ({"question_decomposition": [PLACES[1]], "paragraphs": [{"title": "A"}]}, ["A"]),
        ({"question_decomposition": [None, *MUSIQUE]}, None),
        ({"paragraphs": [{"title": "A", "is_supporting": True}, {"title": "B"}]}, ["A"]),
        ({"type": "bridge"}, None),
    ],
)
@pytest.mark.parametrize("form", ["folder", "description"])
def test_metadata_of_public_sets_is_read_by_one_reader(tmp_path, form, metadata, titles):
    row = {"id": "0", "question": "q", "golden_answers": ["a"], "metadata": metadata}
    train, test = (lines(tmp_path / f"{name}.jsonl", [row]) for name in ("train", "test/t"))
    files = {"train": {"t": local(train)}, "test": {"t": local(test)}}
    source = described(tmp_path / "d.yaml", files) if form == "description" else str(tmp_path)
    sets = read_sets(Questions(source), 0)
    for found in (sets.train[0], sets.test["t"][0]):
        assert found.metadata.get("supporting_titles") == titles
        assert not {"supporting_facts", "question_decomposition", "paragraphs"} & set(
            found.metadata
        )
    if titles:
        passages = [Passage("p1", "A", "x"), Passage("p2", "B", "y")]
        ids = with_supporting_ids(sets, passages).test["t"][0].metadata["supporting_ids"]
        assert ids == [[{"A": "p1", "B": "p2"}[title]] for title in titles]


@pytest.mark.parametrize(
    ("metadata", "unread"),
    [
        ({"supporting_facts": {"title": ["A", None, ["B"]]}}, 2),
        ({"supporting_facts": [["A", 0], 7]}, 1),
        ({"supporting_facts": 7}, 1),
        ({"supporting_facts": {"sent_id": [0]}}, 1),
        ({"question_decomposition": [MUSIQUE[0], {"paragraph_support_idx": 3}]}, 1),
        ({"question_decomposition": "x"}, 1),
        ({"paragraphs": [{"is_supporting": True}]}, 1),
        ({"supporting_facts": [], "paragraphs": PARAGRAPHS}, 0),
    ],
)
def test_support_that_cannot_be_read_is_counted(tmp_path, capsys, metadata, unread):
    row = {"id": "0", "question": "q", "golden_answers": ["a"]}
    lines(tmp_path / "train.jsonl", [row | {"metadata": metadata}])
    lines(tmp_path / "test/t.jsonl", [row])
    read_sets(Questions(str(tmp_path)), 0)
    said = "train.jsonl: supporting facts, steps or paragraphs left out that name no title: "
    assert capsys.readouterr().err.removeprefix(f"{tmp_path}/") == (
        f"{said}{unread}\n" if unread else ""
    )


def test_support_may_stand_beside_metadata(tmp_path):
    row = {"id": "0", "question": "q", "golden_answers": ["a"], "metadata": {"type": "bridge"}}
    row |= {"supporting_facts": [["B", 0], ["A", 1]]}
    for name in ("train", "test/t"):
        lines(tmp_path / f"{name}.jsonl", [row])
    want = {"type": "bridge", "supporting_titles": ["B", "A"]}
    assert read_sets(Questions(str(tmp_path)), 0).train[0].metadata == want
    row["metadata"] = {"supporting_facts": ["A"]}
    lines(tmp_path / "train.jsonl", [row])
    assert read_sets(Questions(str(tmp_path)), 0).train[0].metadata == {"supporting_titles": ["A"]}


def test_gold_answers_that_show_nothing_are_left_out(tmp_path, capsys):
    row = {"id": "0", "question": "q", "golden_answers": ["\u200b", " \ufeff", "-", "a"]}
    for name in ("train", "test/t"):
        lines(tmp_path / f"{name}.jsonl", [row])
    sets = read_sets(Questions(str(tmp_path)), 0)
    assert sets.train[0].golden_answers == ["-", "a"], "EM compares a sign as it stands"
    assert "train.jsonl: empty gold answers left out: 2" in capsys.readouterr().err
    lines(tmp_path / "train.jsonl", [row | {"golden_answers": ["\u200b"]}])
    with pytest.raises(InputError, match=r"train\.jsonl:1: the question has no gold answer"):
        read_sets(Questions(str(tmp_path)), 0)


def test_folders_hold_gzipped_files_too(tmp_path):
    row = {"id": "0", "question": "q", "golden_answers": ["a", ""]}
    for name in ("train.jsonl.gz", "test/a.b.jsonl.gz", "test/c.jsonl"):
        lines(tmp_path / name, [row])
    sets = read_sets(Questions(str(tmp_path)), 0)
    assert list(sets.test) == ["a.b", "c"] and sets.train[0].golden_answers == ["a"]
    lines(tmp_path / "test/c.jsonl.gz", [row])
    with pytest.raises(InputError, match=r"c\.jsonl\.gz: there is c\.jsonl too; keep one of them"):
        read_sets(Questions(str(tmp_path)), 0)


def test_tables_in_a_folder_name_the_command(tmp_path):
    for name, message in (("q.tsv", "stages.tools.to_jsonl"), ("q.jsonl", "stages.tools.split")):
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=f"is a file, not a folder .*{message}"):
            read_sets(Questions(str(tmp_path / name)), 0)
    lines(tmp_path / "train.jsonl", [{"id": "0", "question": "q", "golden_answers": ["a"]}])
    (tmp_path / "test").mkdir()
    (tmp_path / "test/a.csv").write_text("question,answer\nq,a\n")
    with pytest.raises(
        InputError, match=r"found a\.csv: this is CSV: `python -m stages.tools.to_jsonl"
    ):
        read_sets(Questions(str(tmp_path)), 0)


def test_no_key_stands_twice_in_sources(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"id": "0", "contents": "t\\nx", "contents": "t\\ny"}\n')
    with pytest.raises(InputError, match=r"p\.jsonl:1: the key 'contents' occurs twice"):
        copy_passages(str(tmp_path / "p.jsonl"), tmp_path / "out.jsonl")
    for name in ("train", "test/t"):
        path = Path(lines(tmp_path / f"{name}.jsonl", []))
        path.write_text('{"id": "0", "question": "q", "golden_answers": ["a"], "id": "1"}\n')
    with pytest.raises(InputError, match=r"t\.jsonl:1: the key 'id' occurs twice"):
        read_sets(Questions(str(tmp_path)), 0)


def test_public_sets_are_read_by_name_and_drawn_by_the_seed(tmp_path):
    files = {
        name: local(lines(tmp_path / name / "x.jsonl", [question(i, ["A"]) for i in range(9)]))
        for name in ("hotpotqa", "triviaqa")
    }
    source = described(tmp_path / "d.yaml", {"train": files, "test": {"nq": files["hotpotqa"]}})
    sets = read_sets(Questions(source, None, None), 0)
    assert [q.id for q in sets.train[8:10]] == ["hotpotqa/train_8", "triviaqa/train_0"]
    assert set(sets.train[0].metadata) == {"type", "supporting_titles"}
    few = Questions(source, 5, 3)
    drawn = read_sets(few, 0)
    assert drawn == read_sets(few, 0) != read_sets(few, 1)
    assert drawn == read_sets(Questions(source, 5, 3, ["nq"]), 0)
    lines(tmp_path / "own/train.jsonl", [{"id": "0", "question": "q", "golden_answers": ["a"]}])
    lines(tmp_path / "own/test/mean.jsonl", [{"id": "1", "question": "q", "golden_answers": ["a"]}])
    with pytest.raises(InputError, match="own: a test set cannot be called 'mean'"):
        read_sets(Questions(str(tmp_path / "own")), 0)
    with pytest.raises(InputError, match=r"d\.yaml: 'questions\.sets': no set 'popqa', nq"):
        read_sets(Questions(source, 5, 3, ["popqa"]), 0)
    assert len(drawn.train) == 5 and len(drawn.test["nq"]) == 3
    found = with_supporting_ids(sets, [Passage("p1", "A", "x"), Passage("p2", "A", "y")])
    assert found.test["nq"][0].metadata["supporting_ids"] == [["p1", "p2"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("passages: [", "not valid YAML"),
        ("sets: {}", "expected an object with some of"),
        ("passages: []", "'passages': expected a list of files"),
        ("train: {a: {hub: x/y}}", "'train', 'a': a file has 'path' and 'sha256', or"),
        ("passages: [{path: 3}]", "'path' must be a text"),
    ],
)
def test_a_bad_description_is_one_line(tmp_path, text, message):
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_description(tmp_path / "d.yaml")


def test_a_local_file_is_the_one_that_is_described(tmp_path):
    """DVC hashes the description: without the file's digest, another file would go unnoticed."""
    file = lines(tmp_path / "p.jsonl", [{"id": "0", "contents": '"T"\ntext'}])
    source = described(tmp_path / "d.yaml", {"passages": [local(file)]})
    assert len(list(passages_of(source))) == 1
    lines(tmp_path / "p.jsonl", [{"id": "0", "contents": '"T"\nother'}])
    with pytest.raises(InputError, match=r"p\.jsonl: 'sha256' of this file is \w+: its descr"):
        list(passages_of(source))
    described(tmp_path / "d.yaml", {"passages": [{"path": file}]})
    with pytest.raises(InputError, match=rf"{local(file)['sha256']}: the description lacks it"):
        list(passages_of(source))
    described(tmp_path / "d.yaml", {"passages": [{"path": "none.jsonl"}]})
    with pytest.raises(InputError, match=r"none\.jsonl: cannot be read"):
        list(passages_of(source))


def test_an_unreachable_hub_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    entry = {"hub": "owner/name", "revision": "0" * 40, "file": "x.jsonl"}
    source = described(tmp_path / "d.yaml", {"passages": [entry]})
    with pytest.raises(InputError, match=r"owner/name@0+/x\.jsonl: not on this machine") as error:
        list(passages_of(source))
    assert "\n" not in str(error.value)


def test_a_branch_of_the_hub_is_refused_unless_the_content_is_pinned(tmp_path, monkeypatch):
    entry = {"hub": "owner/name", "revision": "main", "file": "x.jsonl"}
    source = described(tmp_path / "d.yaml", {"passages": [entry]})
    for revision in ("main", "0" * 39, "G" * 40, "v1.0", ""):
        described(tmp_path / "d.yaml", {"passages": [entry | {"revision": revision}]})
        with pytest.raises(InputError, match=rf"d\.yaml: 'passages': 'revision' .* '{revision}'"):
            read_description(source)
    file = lines(tmp_path / "p.jsonl", [{"id": "0", "contents": '"T"\ntext'}])
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: file)
    pinned = entry | {"sha256": local(file)["sha256"]}
    described(tmp_path / "d.yaml", {"passages": [pinned]})
    assert len(list(passages_of(source))) == 1
    described(tmp_path / "d.yaml", {"passages": [pinned | {"sha256": "0" * 64}]})
    with pytest.raises(InputError, match=r"owner/name@main/x\.jsonl: 'sha256' of this file is \w+"):
        list(passages_of(source))


@pytest.mark.parametrize("path", sorted(REPO.glob("conf/data/*.yaml")), ids=lambda p: p.stem)
def test_every_description_in_conf_is_pinned_or_refused(path):
    if path.stem == "published_pairs":  # whose commit nobody could look up for this repo
        with pytest.raises(InputError, match="found 'main', which is another file tomorrow"):
            read_description(path)
        return
    blocks = read_description(path)
    assert [e for b in blocks.values() for e in (b if isinstance(b, list) else b.values())]


GILLEY = [  # in our own words
    Passage("0", '"Get Shorty"', "A comedy of 1995 about a debt collector, whom Travolta plays."),
    Passage("1", '"Urban Cowboy"', "Travolta rides a mechanical bull in this film of 1980."),
    Passage("2", '"Gilley\'s Club"', "A honky-tonk in Pasadena, Texas, named after its owner."),
    Passage("3", '"Mickey Gilley"', "A country singer from Louisiana, who owned a club."),
    Passage("4", "Shorty", "A nickname of short people."),
]


def test_the_papers_case_is_found_where_the_corpus_has_it(monkeypatch, tmp_path):
    """conf/data/cases.yaml: three hops by title; without the passages none of them."""
    monkeypatch.chdir(REPO)
    file = local_path(question_files("conf/data/cases.yaml")["test"]["cases"])
    (case,) = read_questions(file)
    for scale in ("gpu", "paper", "released"):
        compose_unchecked(tmp_path / "params.yaml", [f"scale={scale}"])
        follow = load_params(tmp_path / "params.yaml").report.follow
        assert any(text in case.question for text in follow), "as the report looks"
    assert ask._test_question(file.parent) == case.question, "what `ask --questions` asks"
    sets = Sets([], {"cases": [case]})
    (here,) = with_supporting_ids(sets, GILLEY).test["cases"]
    assert here.metadata["supporting_ids"] == [["0"], ["1"], ["2"]]
    (gone,) = with_supporting_ids(sets, GILLEY[3:]).test["cases"]
    assert gone.metadata["supporting_ids"] == []
    monkeypatch.chdir(tmp_path)
    write_passages("passages.jsonl", GILLEY)
    words = "--passages passages.jsonl --output bm25 --metrics m.json --bm25"
    index.main(words.split())
    bm25 = load_searcher(Path("bm25"), Path("passages.jsonl"), None, Compute())
    queries = ("Get Shorty", "Urban Cowboy film of 1980 Travolta", "Gilley's Club in Pasadena")
    hits = bm25.search([SearchRequest(case.question, (), query) for query in queries], 1)
    assert [hit.passage.id for (hit,) in hits] == ["0", "1", "2"]


@needs(real_files.QUESTIONS)
@needs(real_files.PASSAGES)
def test_real_files_are_read(tmp_path):
    counts = {}
    for name in ("passages", "hotpotqa"):
        with open(real_files.FOLDER / f"{name}.jsonl", encoding="utf-8") as file:
            counts[name] = sum(1 for _ in file)
    found = copy_passages(str(real_files.PASSAGES), tmp_path / "p.jsonl")
    assert found == counts["passages"] > 0
    assert len(read_questions(real_files.QUESTIONS)) == counts["hotpotqa"] > 0


def test_training_questions_end_in_a_question_mark_where_the_description_says_so(tmp_path):
    """As the public code has them; test questions stay as they are."""
    texts = ["who wrote it", "Who wrote it? ", "name the author."]
    rows = [
        {"id": str(n), "question": text, "golden_answers": ["a"]} for n, text in enumerate(texts)
    ]
    entry = local(lines(tmp_path / "q.jsonl", rows))
    for asked, found in (
        ({"question_mark": True}, ["who wrote it?", "Who wrote it?", "name the author.?"]),
        ({}, texts),
    ):
        source = described(
            tmp_path / "d.yaml", {"train": {"a": entry | asked}, "test": {"a": entry}}
        )
        sets = read_sets(Questions(source, training=None, test=None), 0)
        assert [q.question for q in sets.train] == found
        assert [q.question for q in sets.test["a"]] == texts
    source = described(tmp_path / "d.yaml", {"train": {"a": entry | {"question_mark": "yes"}}})
    with pytest.raises(InputError, match="'question_mark' must be true or false"):
        read_description(source)


@pytest.mark.parametrize("name", ["seven_sets", "hotpotqa"])
def test_the_public_training_sets_do(name):
    blocks = read_description(REPO / f"conf/data/{name}.yaml")
    assert all(entry.question_mark for entry in blocks["train"].values())
    assert not any(entry.question_mark for entry in blocks["test"].values())


def test_development_questions_are_held_out_of_training_and_are_no_test_questions(tmp_path):
    train = [
        {"id": f"t{n}", "question": f"Who is {n % 30}?", "golden_answers": ["a"]} for n in range(40)
    ]
    tests = [
        {"id": f"s{n}", "question": f"Who is {n}?", "golden_answers": ["a"]} for n in range(10)
    ]
    for path, rows in (("train.jsonl", train), ("test.jsonl", tests)):
        lines(tmp_path / path, rows)
    files = {name: {"mine": local(str(tmp_path / f"{name}.jsonl"))} for name in ("train", "test")}
    source = described(tmp_path / "d.yaml", files)
    sets = read_sets(Questions(source, training=None, development=5), 0)
    (held_out,) = sets.development.values()
    developed = {q.question for q in held_out}
    assert len(developed) == 5 and list(sets.development) == ["held_out"]
    assert not developed & {row["question"] for row in tests}
    assert not developed & {q.question for q in sets.train}, "those of equal words are gone too"
    assert len(sets.train) < 40 and len({q.question for q in sets.train}) == 25
    with pytest.raises(InputError, match=r"'questions.development' \(20\) takes all of the 20"):
        read_sets(Questions(source, training=None, development=20), 0)


def test_development_sets_of_a_folder_are_read(tmp_path):
    def asked(kind: str, count: int) -> list[dict]:
        return [
            {"id": f"{kind}{n}", "question": f"Who is {kind}{n}?", "golden_answers": ["a"]}
            for n in range(count)
        ]

    files = {"train": asked("t", 9), "test/mine": asked("s", 6), "development/mine": asked("d", 8)}
    for name, rows in files.items():
        lines(tmp_path / f"{name}.jsonl", rows)
    lines(tmp_path / "development/few.jsonl.gz", asked("f", 2))
    block = Questions(str(tmp_path), training=None, development=5)
    sets = read_sets(block, 0)
    assert {name: len(asked) for name, asked in sets.development.items()} == {"few": 2, "mine": 5}
    assert len(sets.train) == 9 and list(sets.test) == ["mine"], "nothing is held out"
    assert sizes(Params(questions=block)).development == 7
    with pytest.raises(InputError, match=r"has development sets, and 'questions.development' is 0"):
        read_sets(Questions(str(tmp_path), training=None), 0)
    for other, row in (("train", files["train"][3]), ("test/mine", files["test/mine"][2])):
        lines(tmp_path / "development/mine.jsonl", [*asked("d", 8), row | {"id": "again"}])
        message = rf"'again' of development/mine is a question of {other} too"
        with pytest.raises(InputError, match=message):
            read_sets(block, 0)
