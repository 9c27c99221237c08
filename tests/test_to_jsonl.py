"""JSON arrays and tables become JSON Lines that the readers take."""

import gzip
import json
from pathlib import Path

import pytest

from stages.common.records import read_passages, read_questions
from stages.plumbing.errors import InputError
from stages.sources.support import read_support
from stages.tools import to_jsonl


def converted(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    to_jsonl.main([str(path), str(path.parent / "new.jsonl")])
    return path.parent / "new.jsonl"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.tsv", 'id\ttext\ttitle\n7\t"One\nline, ""two"""\tA b\n8\tx\tB, c\n'),
        ("p.csv.gz", '\ufeffid,title,text\n7,A b,"One\nline, ""two"""\n8,"B, c",x\n'),
        ("p.csv", 'id,contents\n7,"""A b""\nOne\nline, ""two"""\n8,"""B, c""\nx"\n'),
    ],
)
def test_tables_of_passages(tmp_path, name, text):
    told = [(p.id, p.contents) for p in read_passages(converted(tmp_path / name, text))]
    assert told == [("7", '"A b"\nOne\nline, "two"'), ("8", '"B, c"\nx')]


def test_tables_and_arrays_of_questions(tmp_path):
    table = 'question,answers,kind\nWho?,"[\'Ada\', ""O\'Neil""]",a\nWhen?,1840,b\n'
    found = read_questions(converted(tmp_path / "q.csv", table))
    assert [(q.id, q.golden_answers) for q in found] == [("0", ["Ada", "O'Neil"]), ("1", ["1840"])]
    rows = [{"question": q.question, "golden_answers": q.golden_answers} for q in found]
    assert read_questions(converted(tmp_path / "q.json", json.dumps(rows, indent=2))) == found


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        ("['a' 'b c']", ["a", "b c"]),  # as numpy writes it, which Python would join
        ("['a'\n 'b']", ["a", "b"]),
        ('["a\\/b", "\\u00e9"]', ["a/b", "é"]),
        ("[1984, 'x']", ["1984", "x"]),
        ("[1.50]", ["1.50"]),
        ("[REC]", ["[REC]"]),
        ("a|b", ["a|b"]),
        ("'Allo", ["'Allo"]),
        ("('a', 'b')", ["a", "b"]),
        ("{'b', 'a'}", ["b", "a"]),
        ("array(['a', 'b'], dtype=object)", ["a", "b"]),
        ("array([1984, 1985])", ["1984", "1985"]),
        ("(1, 2)", ["(1, 2)"]),
        ("{x}", ["{x}"]),
        ("{'value': 'Ada', 'aliases': array(['Ada L.'], dtype=object)}", ["Ada", "Ada L."]),
    ],
)
def test_cells_of_answers(tmp_path, cell, answers):
    quoted = cell.replace('"', '""')
    [question] = read_questions(
        converted(tmp_path / "q.csv", f'question,answer\nWho?,"{quoted}"\n')
    )
    assert question.golden_answers == answers


@pytest.mark.parametrize(
    "cell", ["['a', 'b", "('a', 'b", "{'a', 'b", "array(['a', 'b'", "{'a': 1}"]
)
def test_a_list_of_answers_that_is_cut_is_no_answer(tmp_path, cell):
    with pytest.raises(InputError, match=r"q\.csv:2: .* opens a list of answers and is none"):
        converted(tmp_path / "q.csv", f'question,answer\nWho?,"{cell}"\n')


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        (
            "supporting_facts",
            "{'title': array(['X', 'Y'], dtype=object), 'sent_id': array([0, 1])}",
        ),
        ("supporting_facts", "[['X', 0], ['Y', 1]]"),
        ("supporting_facts", "('X', 'Y')"),
        ("metadata", '{"supporting_facts": {"title": ["X", "Y"]}, "type": "bridge"}'),
    ],
)
def test_what_supports_a_question_is_read_in_a_cell(tmp_path, name, cell):
    quoted = cell.replace('"', '""')
    table = f'question,answer,{name}\nWho?,Ada,"{quoted}"\nWhen?,1840,\n'
    first, second = read_questions(converted(tmp_path / "q.csv", table))
    assert read_support(first.metadata).titles == ["X", "Y"]
    assert read_support(second.metadata).titles is None
    with pytest.raises(InputError, match=rf"q\.csv:2: '{name}': .* is no object and no list"):
        converted(tmp_path / "q.csv", f"question,answer,{name}\nWho?,Ada,X and Y\n")


@pytest.mark.parametrize("title", ["T t", '"T t"'])
def test_a_title_stands_in_quotes_once(tmp_path, title):
    rows = json.dumps(
        [{"id": "0", "title": title, "text": "x"}, {"id": "1", "title": '"', "text": "y"}]
    )
    first, second = read_passages(converted(tmp_path / "p.json", rows))
    assert (first.contents, second.contents) == ('"T t"\nx', '""""\ny')


def test_a_title_stands_on_one_line(tmp_path):
    [passage] = read_passages(converted(tmp_path / "p.csv", 'title,text\n"One\r\ntwo",x\n'))
    assert passage.contents == '"One two"\nx'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"title": "T", "text": null}', "'text' must be a text, found null"),
        ('{"title": "T", "text": ["One.", "Two."]}', r"""'text' must be a text, found \["One."""),
        ('{"title": ["T"], "text": "x"}', "'title' must be a text"),
        ('{"title": "T", "text": true}', "'text' must be a text"),
        ('{"title": "T", "text": "\\ud800"}', "a text holds half a surrogate pair"),
        ('{"question": "Who?", "answer": "\\ud800"}', "a text holds half a surrogate pair"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, row, message):
    first = '{"title": null, "text": 1984}'
    read = read_passages(converted(tmp_path / "p.jsonl", f"{first}\n"))
    assert [passage.contents for passage in read] == ["\n1984"]
    with pytest.raises(InputError, match=rf"p\.jsonl:2: {message}"):
        converted(tmp_path / "p.jsonl", f"{first}\n{row}\n")


@pytest.mark.parametrize("broken", [b"id,text\n1,a\n", b"\x1f\x8b\x08cut", None])
def test_a_broken_gzip_file_is_named(tmp_path, broken):
    whole = gzip.compress(b"id,text\n" + b"1,a\n" * 99)
    (tmp_path / "p.csv.gz").write_bytes(broken or whole[:12] + b"\xff\xff" + whole[14:])
    with pytest.raises(InputError, match=r"p\.csv\.gz: the gzip file is broken"):
        to_jsonl.main([str(tmp_path / "p.csv.gz"), str(tmp_path / "new.jsonl")])


@pytest.mark.parametrize("name", ["q.jsonl", "q.jsonl.gz", "q.json", "q.json.gz"])
def test_an_array_is_read_whatever_the_file_is_called(tmp_path, name):
    row = {"id": "0", "question": "Who?", "golden_answers": ["Ada"]}
    path = tmp_path / name
    converted(path, json.dumps([row], indent=1))
    with pytest.raises(InputError, match=r"this is a JSON array: `python -m stages.tools.to_jsonl"):
        read_questions(path)  # what it says was just done
    with pytest.raises(
        InputError, match=r"the key 'id' occurs twice in the object \{\"id\": \"0\"\}"
    ):
        converted(path, '[{"id": "0", "id": "1", "question": "q", "answer": "a"}]')


HOTPOTQA = {
    "_id": "5a8b",
    "question": "Who?",
    "answer": "yes",
    "supporting_facts": [["X", 0], ["Y", 1]],
}
MUSIQUE = {
    "id": "2hop__1",
    "question": "Who?",
    "answer": "Ada",
    "answer_aliases": ["Ada", "Countess of Lovelace"],
    "paragraphs": [{"idx": 3, "title": "X"}, {"idx": 7, "title": "Y"}],
    "question_decomposition": [{"paragraph_support_idx": 7}, {"paragraph_support_idx": 3}],
}
TRIVIAQA = {"question": "Who?", "answer": {"value": "Ada", "aliases": ["Ada L."], "type": "x"}}


@pytest.mark.parametrize("form", ["json", "jsonl", "jsonl.gz"])
def test_data_sets_as_their_authors_give_them(tmp_path, form):
    rows = [HOTPOTQA, MUSIQUE, TRIVIAQA]
    text = json.dumps(rows) if form == "json" else "".join(json.dumps(row) + "\n" for row in rows)
    hotpotqa, musique, triviaqa = read_questions(converted(tmp_path / f"q.{form}", text))
    assert (hotpotqa.id, hotpotqa.golden_answers) == ("5a8b", ["yes"])
    assert read_support(hotpotqa.metadata).titles == ["X", "Y"]
    assert (musique.id, musique.golden_answers) == ("2hop__1", ["Ada", "Countess of Lovelace"])
    assert read_support(musique.metadata).titles == ["Y", "X"]
    assert (triviaqa.id, triviaqa.golden_answers) == ("2", ["Ada", "Ada L."])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "id,contents\n1\n", r"a\.csv:2: 1 cells, but 2 columns"),
        ("a.csv", "id,id\n1,2\n", r"a\.csv:1: column names are missing or occur twice"),
        ("a.csv", "id,x\n1,2\n", r"a\.csv:2: neither 'question' nor 'contents'"),
        ("a.csv", "id,question\n1,2\n", r"a\.csv:2: no column of answers"),
        ("a.csv", 'id,contents\n1,"2\n', r"a\.csv: cannot be read as a table"),
        ("a.csv", "", r"a\.csv: holds no row"),
        ("a.json", "{}", r"a\.json: expected a JSON array"),
        ("a.json", "[1]", r"a\.json: item 1: expected an object"),
        ("a.json", "[", r"a\.json:1: not valid JSON"),
        ("a.json.gz", "[]", r"a\.json\.gz: holds no row"),
        ("a.json.gz", "{}", r"a\.json\.gz: expected a JSON array"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, name, text, message):
    with pytest.raises(InputError, match=message):
        converted(tmp_path / name, text)
    assert not (tmp_path / "new.jsonl").exists()
