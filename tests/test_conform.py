"""Logs of other programs rendered again: what is the same, and the first character that is not."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
from golden import EVALUATION, QUESTION, TRAINING, prompt_of
from real_files import RESPONSES, needs

from stages.common.records import Passage, write_jsonl
from stages.composing.compose import compose
from stages.conforming.transcripts import retell
from stages.params import Protocol as Block
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol, read_protocol
from stages.tools import conform

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf/protocol"
REFUSAL = read_protocol(CONF / "search_r1.yaml").block.invalid_message
FRAMES = {"search_r1": TRAINING, "search_r1_evaluation": EVALUATION}
ANSWER = "<answer> James Madison </answer>"


def told(frame: str, *turns: str) -> str:
    return "".join(turn + (frame if "</search>" in turn else "") for turn in turns)


def log(number: int, response: str, words: str = "Answer it.") -> dict:
    row = {"id": f"q{number}", "question": QUESTION, "golden_answers": ["x"]}
    return row | {"prompt": prompt_of(words), "response": response}


def run(folder: Path, rows: list[dict], name: str = "search_r1", *options: str) -> int:
    write_jsonl(folder / "logs.jsonl", rows)
    return conform.main(
        [str(folder / "logs.jsonl"), "--protocol", str(CONF / f"{name}.yaml"), *options]
    )


@pytest.mark.parametrize("name", FRAMES)
def test_logs_in_the_frame_are_the_same(name, tmp_path, capsys):
    frame = FRAMES[name]
    five = [f" <think> t </think> <search> q{n} </search>" for n in range(5)]
    rows = [log(0, told(frame, *five)), log(1, told(frame, five[0], ANSWER + "<|im_end|>"))]
    rows += [log(2, ANSWER), log(3, "nothing"), log(4, told(frame, five[0]) + "\n\n <search> x")]
    assert run(tmp_path, rows, name) == 0
    out = capsys.readouterr().out
    assert "5 of 5 logs are the same, 7 of 7 information blocks (11 turns" in out
    cut = [row | {"response": row["response"].rstrip()} for row in rows]
    assert run(tmp_path, cut, name) == 0, "blanks at the end of a log are nobody's"
    capsys.readouterr()
    other = next(known for known in FRAMES if known != name)
    assert run(tmp_path, rows, other) == 1
    assert "2 of 5 logs are the same, 0 of 3 information blocks" in capsys.readouterr().out


def test_a_refusal_is_a_turn_of_its_own(tmp_path, capsys):
    bad = ["hm", "", "<search> </search>"]
    response = "".join(turn + REFUSAL for turn in bad)
    assert run(tmp_path, [log(0, response + told(TRAINING, "<search> q </search>", ANSWER))]) == 0
    assert "(5 turns, 3 of them refused)" in capsys.readouterr().out
    assert (
        run(tmp_path, [log(0, told(TRAINING, "<search> q </search>", "<search> </search>x"))]) == 1
    )
    assert "found 'x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "expected", "found"),
    [
        ("</search>\n\n<", "</search>\n<", "\\n<information>Doc 1", "<information>Doc 1"),
        ("</search>\n\n<", "</search>\n\n\n<", "<information>Doc 1", "\\n<information>"),
        (">Doc 1", ">\nDoc 1", "Doc 1", "\\nDoc 1"),
        ("Doc 1(", "Doc 0(", "1(Title: Citi", "0(Title"),
        ("Doc 1(", "[1] (", "Doc 1(Title: ", "[1] ("),
        ("Doc 2(", "Doc 1(", "2(Title: ", "1(Title"),
        ("\nDoc 3(", " Doc 3(", "\\nDoc 3(Title", " Doc 3("),
        ("\nDoc 3(", "\nDok 3(", "c 3(Title: ", "k 3("),
        ("</information>", "</informatiom>", "n>", "m>"),
        ("</information>", "<information>", "/information>", "information>"),
        ("<search>", "<serch>", "arch>", "rch>"),
        ("</search>", "</Search>", "search>", "Search>"),
        ("</search>", "</search", ">", "\n\n<info"),
        ("Uranus)  the", "Uranus)the", " the", "the"),
        ("rings</inf", "rings\n</inf", "</information>", "\\n</information>"),
        ("rings</information>\n\n", "rin<answer>", "&lt;answer>", "<answer>"),  # was cut
        ("</information>\n\n", "</information>\n", "\\n", "<answer>"),
        ("outer <b>", "outer <think>", "&lt;think>", "<think>"),
    ],
)
def test_the_first_character_that_differs_is_shown(old, new, expected, found, tmp_path, capsys):
    response = told(
        TRAINING.replace("outer rings", "outer <b> rings"), "<search> q </search>", ANSWER
    )
    assert old in response
    broken = response.replace(old, new)
    assert run(tmp_path, [log(0, response), log(1, broken)]) == 1
    [line, counts, *_] = capsys.readouterr().out.splitlines()
    assert line.startswith("q1: response, character ") and counts.startswith("1 of 2 logs")
    place = int(line.split()[3].rstrip(":"))
    assert broken[place:].startswith(found.replace("\\n", "\n")), line
    assert f"expected '{expected}"[:20] in line or f"expected '{expected[:4]}" in line, line
    assert "\x1b" not in line


MESSAGE = read_protocol(CONF / "search_r1.yaml").block.invalid_message


@pytest.mark.parametrize("place", [1, 30, 77, 120, len(MESSAGE) - 3])
@pytest.mark.parametrize("put", ["", "#"])
def test_a_refusal_with_another_character_is_told_there(place, put, tmp_path, capsys):
    said = told(TRAINING, "<search> q </search>") + "hm"
    changed = MESSAGE[:place] + put + MESSAGE[place + 1 :]
    assert run(tmp_path, [log(0, said + changed + ANSWER)]) == 1
    assert f"q0: response, character {len(said) + place}: " in capsys.readouterr().out


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize(
    "ranked", ["see Doc 2(Title: B) x", "see\nDoc 1(Title: B) x", "Doc 5(Title:"]
)
def test_a_passage_may_speak_of_passages(name, ranked, tmp_path):
    """What a text says of a passage is its own, as long as no number goes on from there."""
    frame = FRAMES[name].replace("the outer rings", f"the outer {ranked} rings")
    one = read_protocol(CONF / f"{name}.yaml").information([Passage("0", "A", ranked)])
    harmless = read_protocol(CONF / f"{name}.yaml").information(
        [Passage(str(n), "A", "<answer> </ Information> <search>") for n in range(3)]
    )
    rows = [log(n, told(f, "<search> q </search>")) for n, f in enumerate([frame, one, harmless])]
    assert run(tmp_path, rows, name) == 0


def test_what_logs_hold_cannot_speak_to_a_terminal(tmp_path, capsys):
    frame = TRAINING.replace("Doc 2", "\x1b[2J\u202e")
    assert run(tmp_path, [log(0, told(frame, "<search> q </search>"))]) == 0, "one passage's text"
    assert run(tmp_path, [log(0, "<search> q </search>\x1b[2J\u202e")]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out


def test_flashrags_own_logs_are_read(tmp_path, capsys):
    whole = prompt_of("Answer it.") + told(EVALUATION, "<search> q </search>", ANSWER)
    row = {"id": "test_0", "question": QUESTION, "output": {"prompt": whole, "pred": "x"}}
    (tmp_path / "logs.json").write_text(json.dumps([row, row | {"id": "test_1"}], indent=4))
    protocol = str(CONF / "search_r1_evaluation.yaml")
    assert conform.main([str(tmp_path / "logs.json"), "--protocol", protocol]) == 0
    assert "2 of 2 logs are the same, 2 of 2 information blocks" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [QUESTION, QUESTION[:-1], f" {QUESTION} "])
def test_a_conversation_without_role_marks_is_parted_after_its_question(asked, tmp_path, capsys):
    prompt = f"Answer it. Question: {QUESTION}\n"
    whole = prompt + "<think> t" + told(EVALUATION, " <search> q </search>", ANSWER)
    row = {"id": "test_0", "question": asked, "output": {"prompt": whole, "pred": "x"}}
    file = str(tmp_path / "made.yaml")
    words = ("--prompts", "--write-protocol", file)
    assert run(tmp_path, [row], "search_r1_evaluation", *words) == 0
    out = capsys.readouterr().out
    assert "1 of 1 logs are the same, 1 of 1 information blocks" in out
    assert "1 of 1 prompts have the wording of made" in out and "system message" not in out
    made = read_protocol(file).block
    assert (made.prompt, made.chat) == ("Answer it. Question: {question}\n", False)
    changed = "questions with blanks cut or a question mark added in their prompt: 1" in out
    assert changed == (asked != QUESTION)


@pytest.mark.parametrize("said", ["<think> t", " <think> t"])
@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("<|begin_of_text|>", "\n<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
        ("<bos><start_of_turn>user\n", "\n<end_of_turn>\n<start_of_turn>model\n"),
        ("<s>[INST] ", "\n [/INST]"),
        ("<|user|>\n", "<|end|>\n<|assistant|>\n"),
        (
            "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nHe<|im_end|>\n"
            "<|im_start|>user\n",
            "<|im_end|>\n<|im_start|>assistant\n",
        ),
    ],
)
def test_a_chat_template_s_marks_are_the_prompt_s(head, tail, said, tmp_path, capsys):
    whole = f"{head}Question: {QUESTION}{tail}{said}" + told(TRAINING, "<search> q </search>")
    file = tmp_path / "made.yaml"
    rows = [{"id": n, "question": QUESTION, "output": {"prompt": whole}} for n in range(2)]
    assert run(tmp_path, rows, "search_r1", "--prompts", "--write-protocol", str(file)) == 0
    assert "2 of 2 prompts have the wording of made" in capsys.readouterr().out
    made = read_protocol(file).block
    for begun in ("<|begin_of_text|>", "<bos>", "<s>"):  # the tokenizer's, as before any text
        head = head.removeprefix(begun)
    assert (made.prompt, made.chat) == (f"{head}Question: {{question}}{tail}", False)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("<|im_end|>\n<|im_start|>assistant", "<|im_end|><|im_start|>assistant", -1),
        ("assistant\n", "assistent\n", 6),
        ("user\n", "usr\n", 2),
        ("Answer it", "Answer,it", 6),
    ],
)
def test_every_character_of_a_prompt_is_compared(old, new, place, tmp_path, capsys):
    row = log(0, told(TRAINING, "<search> q </search>", ANSWER))
    file = tmp_path / "mine.yaml"
    assert run(tmp_path, [row], "search_r1", "--prompts", "--write-protocol", str(file)) == 0
    start = row["prompt"].index(old) + (place if place >= 0 else len("<|im_end|>"))
    rows = [row, row | {"id": "q1", "prompt": row["prompt"].replace(old, new)}]
    write_jsonl(tmp_path / "logs.jsonl", rows)
    capsys.readouterr()
    known = [str(tmp_path / "logs.jsonl"), "--protocol", str(file), "--prompts"]
    assert conform.main(known) == 1
    assert f"q1: prompt, character {start}: " in capsys.readouterr().out
    with pytest.raises(InputError, match="jsonl:2: the prompt has another wording than"):
        run(tmp_path, rows, "search_r1", "--write-protocol", str(tmp_path / "other.yaml"))


SYSTEM = "You are a helpful assistant."


def under(system: str | None, row: dict) -> dict:
    """The log with another system message."""
    _, mark, after = row["prompt"].partition("<|im_start|>user")
    before = "" if system is None else f"<|im_start|>system\n{system}<|im_end|>\n"
    return row | {"prompt": before + mark + after}


@pytest.mark.parametrize("system", [SYSTEM, "You are\na pirate.", None])
def test_the_system_message_is_told_and_kept(system, tmp_path, capsys):
    row = log(0, told(TRAINING, "<search> q </search>", ANSWER))
    rows = [under(system, row | {"id": n}) for n in range(2)]
    file = tmp_path / "mine.yaml"
    assert run(tmp_path, rows, "search_r1", "--prompts", "--write-protocol", str(file)) == 0
    words = f"the system message {system!r}" if system else "no system message"
    assert f"2 of 2 prompts have {words}\n" in capsys.readouterr().out
    assert f"# Its prompts have {words}: " in file.read_text()


@pytest.mark.parametrize("system", ["You are a pirate.", None])
def test_system_messages_that_differ_are_no_wording(system, tmp_path, capsys):
    row = log(0, told(TRAINING, "<search> q </search>", ANSWER))
    rows = [row, under(system, row | {"id": "q1"})]
    file = tmp_path / "mine.yaml"
    with pytest.raises(InputError, match=r"logs\.jsonl:2: the prompt has another system message"):
        run(tmp_path, rows, "search_r1", "--write-protocol", str(file))
    assert run(tmp_path, rows[:1], "search_r1", "--write-protocol", str(file)) == 0
    mine = [str(tmp_path / "logs.jsonl"), "--protocol", str(file)]
    write_jsonl(tmp_path / "logs.jsonl", rows)
    capsys.readouterr()
    assert conform.main(mine) == 0
    assert "the prompts have 2 different ones" in capsys.readouterr().out
    assert conform.main([*mine, "--prompts"]) == 1


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_line_breaks_at_the_end_of_passages_are_the_corpus_s(name, end, tmp_path, capsys):
    """A log cannot tell them from a frame with empty lines between documents, so they are said."""
    passages = [Passage(str(n), "AB"[n], f"text{end}") for n in range(2)]
    shown = read_protocol(CONF / f"{name}.yaml").information(passages)
    assert run(tmp_path, [log(0, told(shown, "<search> q </search>", ANSWER))], name) == 0
    out = capsys.readouterr().out
    assert "1 of 1 logs are the same, 1 of 1 information blocks" in out
    known = 1 if name == "search_r1" else 2  # blanks at the end of all are cut in training
    assert f"passages that end in a line break: {known}; " in out
    place = shown.index("text") + len("<search> q </search>text") + ("\r" in end)
    assert f"(the first: q0, character {place})" in out


def test_a_refusal_without_its_last_blanks_ends_a_log(tmp_path, capsys):
    assert REFUSAL.rstrip() != REFUSAL
    response = told(TRAINING, "<search> q </search>", "<search> r </search>") + "hm" + REFUSAL
    for end in ("", "\n\n"):
        assert run(tmp_path, [log(0, response.rstrip() + end)]) == 0
        out = capsys.readouterr().out
        assert "2 of 2 information blocks (3 turns, 1 of them refused)" in out


def test_a_response_may_begin_with_its_prompt(tmp_path, capsys):
    row = log(0, told(TRAINING, "<search> q </search>", ANSWER), "Use <search> q </search>.")
    whole = row | {"id": "q1", "response": row["prompt"] + row["response"]}
    assert run(tmp_path, [row, whole]) == 0
    assert "2 of 2 logs are the same, 2 of 2 information blocks" in capsys.readouterr().out


def test_prompts_without_a_question_are_said(tmp_path, capsys):
    row = log(0, told(TRAINING, "<search> q </search>", ANSWER))
    assert run(tmp_path, [{key: row[key] for key in ("id", "prompt", "response")}]) == 0
    out = capsys.readouterr().out
    assert "logs without a 'question', whose prompts are not compared: 1\n" in out


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("form", ["lines", "array", "array after blanks"])
def test_files_of_any_form_are_read(form, mark, packed, tmp_path, capsys):
    rows = [log(n, told(TRAINING, "<search> q </search>", ANSWER)) | {"id": None} for n in (0, 1)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if form != "lines":
        text = ("\n " if "blanks" in form else "") + json.dumps(rows, indent=2)
    data = (mark + text).encode()
    file = tmp_path / ("logs.json.gz" if packed else "logs.json")
    file.write_bytes(gzip.compress(data) if packed else data)
    assert conform.main([str(file), "--protocol", str(CONF / "search_r1.yaml")]) == 0
    assert "2 of 2 logs are the same" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[", "[{}]", '{"a": 1}'])
def test_a_broken_gzip_file_is_one_clear_error(text, tmp_path):
    file = tmp_path / "logs.json.gz"
    file.write_bytes(gzip.compress(text.encode() * 900)[:-9])
    with pytest.raises(InputError, match=r"logs\.json\.gz.*the gzip file is broken"):
        conform.main([str(file), "--protocol", str(CONF / "search_r1.yaml")])


def test_a_prompt_that_a_protocol_would_fill_in_is_refused(tmp_path):
    rows = [log(0, told(TRAINING, "<search> q </search>", ANSWER), "Put {question} here.")]
    with pytest.raises(InputError, match=r"jsonl:1: the prompt itself holds \{question\}"):
        run(tmp_path, rows, "search_r1", "--write-protocol", str(tmp_path / "no.yaml"))


def test_the_wording_is_taken_from_the_logs(tmp_path, capsys):
    rows = [log(n, told(TRAINING, "<search> q </search>", ANSWER), "Say {x}: é.") for n in range(2)]
    rows[1]["question"] = "Name him."
    rows[1]["prompt"] = rows[1]["prompt"].replace(QUESTION, "Name him.?")
    file = tmp_path / "mine.yaml"
    assert run(tmp_path, rows, "search_r1", "--prompts") == 1
    assert run(tmp_path, rows[:1], "search_r1", "--prompts", "--write-protocol", str(file)) == 0
    made, old = read_protocol(file), read_protocol(CONF / "search_r1.yaml")
    assert made.block.prompt == "Say {x}: é. Question: {question}\n"
    assert (made.block.name, made.block.chat) == ("mine", True)
    assert made.block.information == old.block.information and made.block.strip
    assert "1 of 1 prompts have the wording of mine" in capsys.readouterr().out
    with pytest.raises(InputError, match="there already"):
        run(tmp_path, rows, "search_r1", "--write-protocol", str(file))
    run(tmp_path, rows, "search_r1", "--write-protocol", str(tmp_path / "both.yaml"))
    assert read_protocol(tmp_path / "both.yaml").block.prompt == made.block.prompt
    rows[1]["prompt"] = rows[1]["prompt"].replace("Say", "Tell")
    with pytest.raises(InputError, match=r"logs\.jsonl:2: the prompt has another wording"):
        run(tmp_path, rows, "search_r1", "--write-protocol", str(tmp_path / "no.yaml"))
    del rows[0]["question"]
    with pytest.raises(InputError, match=r"logs\.jsonl:1: 'question' is missing"):
        run(tmp_path, rows, "search_r1", "--write-protocol", str(tmp_path / "no.yaml"))
    assert not (tmp_path / "no.yaml").exists()


def worded(prompt: str, *questions: str) -> list[dict]:
    """Logs of questions in a prompt without role marks."""
    response = told(TRAINING, "<search> q </search>", ANSWER)
    return [
        {"id": n, "question": one, "prompt": prompt.replace("#", one), "response": response}
        for n, one in enumerate(questions)
    ]


@pytest.mark.parametrize(
    "prompt", ["Who is x? #\n", "Say it: #\nQuestion: #\n", "Who is x, is asked. Question: #\n"]
)
def test_a_question_that_stands_twice_in_one_prompt_is_no_wording(prompt, tmp_path):
    file = str(tmp_path / "mine.yaml")
    same = worded(prompt, "Who is x?")
    for rows in (same, same + [row | {"id": "again"} for row in same]):
        with pytest.raises(InputError, match=r"jsonl:1: 'prompt' holds the question more than onc"):
            run(tmp_path, rows, "search_r1", "--write-protocol", file)
    rows = worded(prompt, "Who is x?", "Where is y?", "Who is x?")
    assert run(tmp_path, rows, "search_r1", "--prompts", "--write-protocol", file) == 0
    assert read_protocol(file).block.prompt == prompt.replace("#", "{question}")


def test_the_frame_of_a_written_protocol_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    rows = [log(0, told(TRAINING, "<search> q </search>", ANSWER))]
    words = "a protocol with the wording of these prompts and the frame of"
    run(tmp_path, rows, "search_r1", "--write-protocol", str(tmp_path / "mine.yaml"))
    assert f"mine.yaml: {words} search_r1\n" in capsys.readouterr().out
    conform.main([str(tmp_path / "logs.jsonl"), "--write-protocol", str(tmp_path / "own.yaml")])
    name = load_params().protocol.name
    said = f"own.yaml: {words} {name}, which is params.yaml's: --protocol takes another\n"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", ["Say ${x} and ${seed}.", r"\${a \\${b} ${ \ $${{", "é: '${x}'\n \"\\n\"\n\t#"]
)
def test_signs_that_omegaconf_reads_are_the_prompt_s(words, tmp_path, monkeypatch):
    """From the logs to the file, and through the composition to what an agent is asked."""
    rows = [log(0, told(TRAINING, "<search> q </search>", ANSWER), words)]
    for name in ("conf", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "conf/protocol/mine.yaml"
    assert run(tmp_path, rows, "search_r1", "--prompts", "--write-protocol", str(file)) == 0
    assert read_protocol(file).block.prompt == f"{words} Question: {{question}}\n"
    compose(tmp_path / "params.yaml", ["scale=released", "protocol=mine"])
    assert load_params("params.yaml").protocol == read_protocol(file).block


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no log"),
        ("[]", "holds no log"),
        ("{", r"logs:1: not a JSON object"),
        ("[3]", "item 1: expected an object"),
        ('{"response": null, "prompt": "<|im_start|>assistant\\n"}', "has no text 'response'"),
        ("PAR1\x15", "logs: this is parquet: `pandas.read_parquet"),
        ('{"prompt": "p"}', "logs:1: the log has no text 'response', and 'prompt' neither"),
        ('{"prompt": "p", "question": "q"}', "nor the question, after which it would begin"),
        ("\n [", "not valid JSON"),
        ('{"response": 3, "prompt": "p"}', "the log has no text 'response'"),
        ('{"response": "r"}', "the log has no text 'prompt'"),
        ('{"response": "\\ud800", "prompt": "p"}', "half a surrogate"),
        ('{"id": 1, "response": "r", "prompt": "p"}\n' * 2, "logs:2: the id '1' occurs twice"),
        ('{"response": "r", "prompt": "p"}', "no log searches in the form of search_r1"),
    ],
)
def test_a_file_that_holds_no_logs_is_one_clear_error(text, reason, tmp_path):
    (tmp_path / "logs").write_text(text)
    with pytest.raises(InputError, match=reason) as error:
        conform.main([str(tmp_path / "logs"), "--protocol", str(CONF / "search_r1.yaml")])
    assert "\n" not in str(error.value)


def test_a_protocol_without_marks_is_refused(tmp_path):
    with pytest.raises(InputError, match="has a 'tool'"):
        run(tmp_path, [log(0, "x")], "tool_calls")


def test_quotes_that_the_corpus_does_not_have_are_found(tmp_path, capsys):
    text = (CONF / "search_r1.yaml").read_text(encoding="utf-8")
    quoted = tmp_path / "quoted.yaml"
    quoted.write_text(text.replace("Title: {title}", r"Title: \"{name}\""), encoding="utf-8")
    write_jsonl(tmp_path / "logs.jsonl", [log(0, told(TRAINING, "<search> q </search>", ANSWER))])
    assert conform.main([str(tmp_path / "logs.jsonl"), "--protocol", str(quoted)]) == 1
    assert "0 of 1 logs are the same" in capsys.readouterr().out


FORMS = ["few_shot", "r1_searcher", "simple_deep_searcher_evaluation", "tiny", "search_r1"]
FORMS += ["r1_searcher_evaluation"]


@pytest.mark.parametrize(
    "heading",
    ["T{} (a) b: c", '"Heroes {}"', '""A""', '"""Heroes {}"""', '"""""Heroes"""" {}"', '"'],
)
@pytest.mark.parametrize("name", FORMS)
def test_passages_of_any_form_are_read_back(name, heading):
    block = read_protocol(CONF / f"{name}.yaml")
    shown = block.information([conform_passage(n, heading) for n in range(12)])
    response = f"{search_in(block)}{shown}and on"
    told = retell(response, block)
    assert (told.difference, told.blocks, told.same_blocks, told.turns) == (None, 1, 1, 2)


@pytest.mark.parametrize("heading", ["T{} (a) b: c", '"""Heroes {}"""'])
@pytest.mark.parametrize("name", [*FORMS, "search_r1_evaluation"])
def test_a_log_that_is_cut_in_what_is_shown_is_its_beginning(name, heading):
    protocol = read_protocol(CONF / f"{name}.yaml")
    shown = protocol.information([conform_passage(n, heading) for n in range(2)])
    asked = search_in(protocol)
    for end in range(len(shown)):
        told = retell(f"{asked}{shown}{asked}{shown[:end]}", protocol)
        begun, whole = bool(shown[:end].strip()), shown[:end].strip() == shown.strip()
        assert told.difference is None, shown[:end]
        assert told.blocks == told.same_blocks == 1 + begun and told.cut == (begun and not whole)
    text = shown[: shown.index("text 1") + 3]
    assert retell(f"{asked}{text}#", protocol).cut, "any sign may be the passage's"
    assert retell(f"{asked}{shown[:3]}#", protocol).difference


def test_cut_logs_are_said(tmp_path, capsys):
    whole = told(TRAINING, "<search> q </search>", "<search> r </search>")
    rows = [log(0, whole), log(1, whole[:-60]), log(2, whole[:-90])]
    assert run(tmp_path, rows) == 0
    out = capsys.readouterr().out
    assert "3 of 3 logs are the same, 6 of 6 information blocks" in out
    assert (
        "logs that end within what is shown, the same as far as it goes: 2 (the first: q1)" in out
    )
    assert run(tmp_path, [log(1, whole[:-60]), log(2, whole.replace("Doc 2", "Dok 2"))]) == 1
    assert "1 of 2 logs are the same, 2 of 3 information blocks" in capsys.readouterr().out


OTHER = (
    "\nNo action in that. Ask between <search> and </search>, answer in <answer> and </answer>.\n"
)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("said", ["hm", "hm\n\n", ""])
def test_a_refusal_in_other_words_is_no_search(name, said, tmp_path, capsys):
    """It names the form of a search itself, and the difference is where it begins."""
    frame = FRAMES[name]
    asked = told(frame, "<search> q </search>")
    rows = [log(0, said + OTHER + asked + ANSWER), log(1, asked + said + OTHER)]
    for given, place in (([rows[0]], 0), (rows, 0), (rows[::-1], len(asked))):
        assert run(tmp_path, given, name) == 1
        line, *_, counts = capsys.readouterr().out.splitlines()[: len(given) + 1]
        place += len(said) + 1  # a line break, which may be the turn's
        assert line.startswith(f"{given[0]['id']}: response, character {place}: "), line
        blocks = f"{len(given) - 1} of {len(given) - 1} information blocks"
        assert counts.startswith(f"0 of {len(given)} logs are the same, {blocks}")


def test_what_a_search_finds_in_other_marks_is_no_refusal(tmp_path, capsys):
    said = "hm <search> q </search>"
    rows = [log(n, f"{said} <found> it </found>\n" * 2 + ANSWER) for n in range(2)]
    assert run(tmp_path, rows) == 1
    assert f"q0: response, character {len(said)}: expected '\\n\\n<inf" in capsys.readouterr().out


@pytest.mark.parametrize("end", [1, 60, 120, REFUSAL.index("</search>") + 9, len(REFUSAL) - 3])
def test_a_log_that_is_cut_in_a_refusal_is_its_beginning(end, tmp_path, capsys):
    said = told(TRAINING, "<search> q </search>") + "hm" + REFUSAL[:end]
    assert run(tmp_path, [log(0, said)]) == 0
    refused = int("</search>" in said[-end:])
    assert f"1 of 1 information blocks (2 turns, {refused} of them" in capsys.readouterr().out


def search_in(protocol: AgentProtocol) -> str:
    stop = protocol.stop[0]
    opening = {"</search>": "<search>"}.get(stop, stop.replace("end", "begin"))
    return f"{opening} q {stop}"


def conform_passage(number: int, heading: str):
    return Passage(str(number), heading.format(number), f"text {number}: x) y (Title: z) ")


def test_a_long_log_is_read_in_time():
    protocol = AgentProtocol(Block())
    told = retell("<search> q </search>\n<information>\n</information>\n" * 20_000, protocol)
    assert told.turns == 20_000 and told.difference is None


@needs(RESPONSES)
def test_every_real_block_is_rendered_again(capsys):
    assert conform.main([str(RESPONSES), "--protocol", str(CONF / "search_r1.yaml")]) == 0
    out = capsys.readouterr().out
    assert "125 of 125 logs are the same, 125 of 125 information blocks" in out
    assert (
        conform.main([str(RESPONSES), "--protocol", str(CONF / "search_r1_evaluation.yaml")]) == 1
    )
    assert "0 of 125 logs are the same" in capsys.readouterr().out
