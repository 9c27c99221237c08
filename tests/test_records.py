"""The exchange files: round trips, and one clear error for each kind of bad line."""

import json
import multiprocessing
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.records import (
    Passage,
    Question,
    heading_of,
    iter_jsonl,
    read_json,
    read_jsonl,
    read_passages,
    read_questions,
    write_json,
    write_jsonl,
    write_passages,
    write_questions,
)
from stages.plumbing.errors import InputError

GOOD = {"id": "q", "question": "Who?", "golden_answers": ["x"], "metadata": {}}
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_passages_come_back(tmp_path):
    passages = [Passage("1", 'A "quoted" title', "text\nof two lines"), Passage("2", "", "")]
    write_passages(tmp_path / "p.jsonl", passages)
    assert read_passages(tmp_path / "p.jsonl") == passages


@given(title=TEXT.filter(lambda t: "\n" not in t), text=TEXT)
def test_any_passage_comes_back(tmp_path_factory, title, text):
    path = tmp_path_factory.mktemp("any") / "p.jsonl"
    write_passages(path, [Passage("1", title, text)])
    assert read_passages(path) == [Passage("1", title, text)]


@pytest.mark.parametrize(
    ("title", "heading"),
    [
        ("Citibank", "Citibank"),
        ("First Bank", '"First Bank"'),
        ("", ""),
        ('"Heroes" (David Bowie album)', '"""Heroes"" (David Bowie album)"'),
        ('"Heroes"', '"""Heroes"""'),
    ],
)
def test_a_title_gets_the_quotes_of_wikipedia_2018(title, heading):
    assert heading_of(title) == heading
    assert Passage("0", heading, "text").title == title


def test_questions_come_back(tmp_path):
    questions = [Question("1", "Où?", ["ici", "là"], {"hops": 2}), Question("2", "Who?", ["x"])]
    write_questions(tmp_path / "q.jsonl", questions)
    assert read_questions(tmp_path / "q.jsonl") == questions


def test_integer_ids_are_read_as_text(tmp_path):
    write_jsonl(tmp_path / "p.jsonl", [{"id": 7, "contents": '"T"\nx'}])
    assert read_passages(tmp_path / "p.jsonl")[0].id == "7"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"golden_answers": []}, "no gold answer"),
        ({"golden_answers": [" "]}, "no gold answer"),
        ({"golden_answers": "x"}, "must be a list"),
        ({"golden_answers": [1]}, "must be a list"),
        ({"question": 3}, "'question' must be a text"),
        ({"question": "  "}, "'question' is empty"),
        ({"question": "\ud800"}, "surrogate"),
        ({"id": "0"}, "the id '0' occurs twice"),
        ({"id": "\udfff"}, "'id' holds half a surrogate pair"),
        ({"golden_answers": ["x", "\ud800"]}, "'golden_answers' holds half a surrogate pair"),
        ({"metadata": [1]}, "'metadata' must be an object"),
        ({"metadata": {"a": ["\ud800"]}}, "'metadata' holds half a surrogate pair"),
        ({"metadata": {"supporting_ids": ["p1"]}}, "'metadata.supporting_ids' must be a list"),
        ({"metadata": {"supporting_ids": [[1]]}}, "'metadata.supporting_ids' must be a list"),
        ({"metadata": {"supporting_ids": [["1"], []]}}, "'metadata.supporting_ids' must be a list"),
        ({"metadata": {"hops": "2"}}, "'metadata.hops' must be an integer"),
        ({"metadata": {"namesakes": True}}, "'metadata.namesakes' must be an integer"),
        ({"metadata": {"supporting_titles": "T"}}, "'metadata.supporting_titles' must be a list"),
        ({"metadata": {"hops": -3}}, "'metadata.hops' must not be negative, found -3"),
        ({"metadata": {"namesakes": -1}}, "'metadata.namesakes' must not be negative"),
        ({"metadata": {"supporting_ids": "p1"}}, "'metadata.supporting_ids' must be a list"),
        ({"metadata": {"supporting_ids": ""}}, "'metadata.supporting_ids' must be a list"),
        ({"metadata": {"supporting_ids": 0}}, "'metadata.supporting_ids' must be a list"),
        ({"metadata": {"supporting_ids": [["1", None]]}}, "must be a list with some ids"),
        ({"metadata": {"supporting_ids": [[" "]]}}, "'metadata.supporting_ids' holds an empty id"),
        ({"metadata": {"supporting_ids": [["a\nb"]]}}, "holds an id with a line break"),
        ({"metadata": {"supporting_titles": 0}}, "'metadata.supporting_titles' must be a list"),
        ({"metadata": {"supporting_titles": ["\0"]}}, "'metadata' holds NUL"),
        ({"metadata": {"note": {"deep": ["a\0"]}}}, "'metadata' holds NUL"),
        ({"metadata": False}, "'metadata' must be an object"),
        ({"metadata": ""}, "'metadata' must be an object"),
        ({"id": ""}, "'id' holds an empty id"),
        ({"id": " \t"}, "'id' holds an empty id"),
        ({"id": "a\nb"}, r"'id' holds an id with a line break: 'a\\nb'"),
        ({"id": "a\n"}, "'id' holds an id with a line break"),
        ({"id": "a\u2028b"}, "'id' holds an id with a line break"),
        ({"id": "a\0"}, "'id' holds NUL"),
        ({"question": "a\0"}, "'question' holds NUL"),
        ({"golden_answers": ["a", "\0"]}, "'golden_answers' holds NUL"),
        ({"golden_answers": ["", " ", "\n"]}, "no gold answer"),
        ({"id": None}, "'id' must be"),
        ({"id": True}, "'id' must be"),
    ],
)
def test_a_bad_question_names_its_line(tmp_path, change, message):
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({**GOOD, "id": "0"}) + "\n" + json.dumps({**GOOD, **change}) + "\n")
    with pytest.raises(InputError, match=message) as error:
        read_questions(path)
    assert str(error.value).startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not a JSON object"),
        ("[]", "expected a JSON object, found list"),
        ("", "not a JSON object"),
        ('{"id": "1"}', "the key 'contents' is missing"),
        ('{"id": "1", "contents": "only a title"}', "title line"),
        ('{"id": "0", "contents": "t\\nx"}', "occurs twice"),
        ("[" * 100_000, r"not a JSON object on one line \(nested too deeply\)"),
        ('{"id": ' + "1" * 5000 + "}", r"not a JSON object on one line \(a number is too long\)"),
        ('{"id": "1", "contents": ""}', "title line"),
        ('{"id": "1", "contents": "t\\n\\ud800"}', "'contents' holds half a surrogate pair"),
        ('{"id": "\\udc00", "contents": "t\\nx"}', "'id' holds half a surrogate pair"),
        ('{"id": "1", "contents": "t\\nx"}\0', "not a JSON object"),
        ("\ufeff{}", "not a JSON object"),
        ('{"id": "", "contents": "t\\nx"}', "'id' holds an empty id"),
        ('{"id": "a\\r", "contents": "t\\nx"}', "'id' holds an id with a line break"),
        ('{"id": "1", "contents": "t\\nx\\u0000"}', "'contents' holds NUL"),
    ],
)
def test_a_bad_passage_names_its_line(tmp_path, line, message):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "0", "contents": "t\\nx"}\n' + line + "\n")
    with pytest.raises(InputError, match=message) as error:
        read_passages(path)
    assert str(error.value).startswith(f"{path}:2: ")


def test_blank_gold_answers_are_left_out_and_counted(tmp_path, capsys):
    rows = [{**GOOD, "id": str(n), "golden_answers": g} for n, g in enumerate((["", "x"], ["y"]))]
    write_jsonl(tmp_path / "q.jsonl", [*rows, {**GOOD, "golden_answers": [" ", "z", "\n"]}])
    found = read_questions(tmp_path / "q.jsonl")
    assert [question.golden_answers for question in found] == [["x"], ["y"], ["z"]]
    said = f"{tmp_path / 'q.jsonl'}: empty gold answers left out: 3\n"
    assert capsys.readouterr().err == said


def test_backslashes_in_metadata_are_no_nul(tmp_path):
    write_jsonl(tmp_path / "q.jsonl", [{**GOOD, "metadata": {"note": "\\u0000 and \\"}}])
    assert read_questions(tmp_path / "q.jsonl")[0].metadata == {"note": "\\u0000 and \\"}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"id": "1", "id": "2"}', "id"),
        ('{"id": "1", "metadata": {"hops": 1, "hops": 2}}', "hops"),
        ('{"id": "1", "list": [{"a": 1}, {"b": 1, "b" : 1}]}', "b"),
        ('{"id": "1", "text": "\\"id\\": 1", "i\\u0064": 2}', "id"),
    ],
)
def test_no_key_stands_twice_in_a_file_from_outside(tmp_path, line, key):
    path = tmp_path / "o.jsonl"
    path.write_text('{"id": "0", "text": "\\"id\\": \\"id\\" : x"}\n' + line + "\n")
    with pytest.raises(InputError, match=rf"o\.jsonl:2: the key '{key}' occurs twice"):
        list(iter_jsonl(path, outside=True))
    assert len(list(iter_jsonl(path))) == 2


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.json", '[\n  {"id": 1}\n]\n', "a JSON array"),
        ("a.jsonl", '[{"id": 1}]', "a JSON array"),
        ("a.csv", "id,contents\n", "CSV"),
        ("a.TSV", "id\tcontents\n", "TSV"),
    ],
)
def test_other_forms_name_the_command_that_converts(tmp_path, name, text, form):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        read_passages(tmp_path / name)
    file = tmp_path / name
    assert str(error.value) == (
        f"{file}:1: this is {form}: `python -m stages.tools.to_jsonl {file} NEW.jsonl` makes JSON "
        "Lines of it"
    )


def test_bad_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.jsonl: cannot be read"):
        read_passages(tmp_path / "nothing.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "0", "contents": "t\\nx"}\n\xff\n')
    with pytest.raises(InputError, match="not valid UTF-8"):
        read_passages(tmp_path / "latin.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match="holds no passage"):
        read_passages(tmp_path / "empty.jsonl")
    for text in ("[" * 100_000, "1" * 5000):
        (tmp_path / "long.json").write_text(text)
        with pytest.raises(InputError, match=r"long\.json: not valid JSON \([^\n]*\)$"):
            read_json(tmp_path / "long.json")
    (tmp_path / "broken.json").write_text("{\n,")
    with pytest.raises(InputError, match=r"broken.json:2: not valid JSON"):
        read_json(tmp_path / "broken.json")


def test_blank_lines_of_a_file_from_outside_are_no_rows(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text('{"id": "0"}\n\n{"id": "1"}\n \r\n\n')
    rows = list(iter_jsonl(path, outside=True))
    assert rows == [(f"{path}:1", {"id": "0"}), (f"{path}:3", {"id": "1"})]


def test_a_folder_is_no_file_to_write(tmp_path):
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(InputError, match=r"rows\.jsonl: is a folder, where a file"):
        write_jsonl(tmp_path / "rows.jsonl", [{"id": "0"}])
    assert not list(tmp_path.glob(".*"))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "m.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "m.json", {"a": object()})

    def rows():
        yield {"id": 1}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_jsonl(tmp_path / "m.json", rows())
    assert read_json(tmp_path / "m.json") == {"a": 1}
    assert [f.name for f in tmp_path.iterdir()] == ["m.json"]
    assert read_jsonl.__defaults__ == (("id",),)


def killed_on_the_way(path):
    def rows():
        yield {"id": 1}
        os._exit(9)

    write_jsonl(path, rows())


def test_what_a_killed_write_left_goes_with_the_next(tmp_path):
    (tmp_path / ".m.json.of.others").touch()
    write_json(tmp_path / "m.json", {"a": 1})
    child = multiprocessing.Process(target=killed_on_the_way, args=(tmp_path / "m.json",))
    child.start()
    child.join()
    assert child.exitcode == 9 and read_json(tmp_path / "m.json") == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 3
    write_json(tmp_path / "m.json", {"a": 2})
    assert sorted(f.name for f in tmp_path.iterdir()) == [".m.json.of.others", "m.json"]
