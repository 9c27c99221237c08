"""Parse one value of a judge's reply: a grade, a sub-answer, or "not sure".

A grade is an integer from 0 to 100 in ASCII digits, and nothing that could be another:

    value  =  [name] [sign] number [scale] [why]
    name   =  "grade", "score", "rating", "relevance" (before them "relevance", "final"), and ":",
              "=", "-" or an arrow; or the sign alone
    number =  digits, with or without a sign and a decimal part of zeros: 85, +85, 085, 85.0
    scale  =  "/100", "/ 100", "out of 100", "%", "points"
    why    =  an explanation, after a bracket, a dash, a colon, a comma, a full stop, a bar or
              "because", "since", "as"

in marks of emphasis, quotes, brackets, `$` or `\\boxed{}`. Everything else is malformed, for one
of these reasons:

    not_an_integer  words, other digits, 1e2, ~85, 85+, and words right behind the number
    decimal         85.5, 0.85, 85,5
    out_of_range    -5, 101
    other_scale     8/10, 4 out of 5
    two_grades      85-90, 85 or 90, 85 (or 90), 85 -> 90, 85, no: revised to 90, 85 [1] 20

A sub-answer is not sure where it is, or begins with, a phrase of NOT_SURE or of the prompt file's
`missing`, whatever the case, quotes, emphasis or full stop: alone, or before ",", ";", ":", ".", a
bracket or a dash. Phrases of UNSURE say so however the sentence goes on. An answer that ends with
"(not sure)" is not sure either. `Unknown Pleasures` and `None of them` are answers.
"""

from __future__ import annotations

import re

from stages.judge.prompts import MalformedReply, one_line

_BOXED = re.compile(r"\\(?:boxed|text|textbf|mathbf)\{([^{}]{0,200})\}")
_EDGES = " \t\r\n*_`\"'“”‘’«»$\\"
_NUMBER = re.compile(
    r"(?:(?:relevance|final|lr)[ _-])?(?:grade|score|rating|relevance|value)?[*_\s]*+(?:is\b)?\s*+"
    r"(?:[:=|]|[-=]>|[→⇒]|[-–—](?=\s))?[\s*_`\"'$]*+[(\[{]?\s*+(?P<number>[+-]?[0-9]++)",
    re.IGNORECASE,
)
_ZEROS = re.compile(r"\.0++(?![0-9])")
_FRACTION = re.compile(r"[.,][0-9]")
_SCALE = re.compile(r"\s*+[)\]}*_]*+\s*+(?:/|out of\b|of\b)\s*+(?P<scale>[0-9]++)", re.IGNORECASE)
_UNIT = re.compile(r"\s*+(?:%|percent\b|points?\b|pts?\b)", re.IGNORECASE)
_SILENT = re.compile(r"[^\w+?~<>≈]*+\Z")
_WHY = re.compile(r"\s*+(?:[^\w\s+?~<>≈]|(?:because|since|as)\b)", re.IGNORECASE)
_AGAIN = re.compile(  # a second grade in what follows the first
    r"\s*+[-–—/][0-9]"
    r"|\W*+(?:(?:or|to|and|maybe|perhaps)\b\W*+)?(?:100|[0-9]{1,2})(?![0-9])",
    re.IGNORECASE,
)
_REVISED = re.compile(
    r"\b(?:wait|actually|correct(?:ion|ed)|revised?|rather|instead|changed?|final(?:ly)?|no"
    r"|make it)\b\W{0,5}(?:\w{1,12}\W{1,3})?(?:100|[0-9]{1,2})(?![0-9])"
    r"|[\[(][0-9]{1,3}[\])][ \t]?[:=-]?[ \t]?[0-9]|(?:->|=>|[→⇒])\s?[0-9]",
    re.IGNORECASE,
)
LOWEST, HIGHEST = 0, 100

NOT_SURE = (
    *("not sure", "unsure", "uncertain", "unclear", "unknown", "undetermined", "not known"),
    *("n/a", "n.a", "not applicable", "none", "null", "nil", "no answer", "no idea", "?", "-"),
    *("not available", "not stated", "not given", "not mentioned", "not specified"),
    *("not provided", "not found", "not clear", "not certain", "not enough information"),
    *("insufficient information", "no information", "no relevant information"),
    *("information not available", "information not found", "answer not found"),
)
_WORDS = "|".join(re.escape(phrase) for phrase in NOT_SURE if phrase[0].isalpha())
_UNSURE = re.compile(  # however the sentence goes on
    r"(?:i(?: am|'m) (?:not (?:sure|certain)|unsure)|not sure|(?:i )?(?:do not|don't) know"
    r"|(?:i )?(?:cannot|can not|can't|could not|couldn't) (?:be )?(?:tell|told|say|determined?"
    r"|answer(?:ed)?|find|found|known|inferred)"
    r"|it(?: is|'s) (?:not (?:clear|known|stated|mentioned|specified|given)|unclear|unknown)"
    r"|(?:there is )?(?:no|not enough|insufficient) (?:relevant )?(?:information|mention of)"
    r"|not (?:directly |explicitly )?(?:mentioned|stated|given|specified|provided|found|available"
    r"|clear|known|answered) (?:in|by|from|here|anywhere)"
    r"|the (?:text|passages?|work|documents?|answer|information|results?)"
    r" (?:(?:do|does|did)(?: not|n't)|(?:is|are|was|were|cannot|can't)(?: not)? (?:be )?(?:unknown"
    r"|unclear|not|determined|told|stated|given|mentioned|provided|found|specified|available)))\b"
)
_ENDS = re.compile(r"[(\[,;–—-]\s?(?:i am |i'm )?(?:not sure|unsure|uncertain)[.)\]]*\Z")


def bare(value: str) -> str:
    """The value on one line, without emphasis, quotes and boxes around it."""
    value = one_line(_BOXED.sub(r"\1", value))
    for _ in range(4):
        before, value = value, _unwrapped(value)
        if value == before:
            break
    return value


def _unwrapped(value: str) -> str:
    """The value without one pair of marks around all of it."""
    for left, right in (*((mark, mark) for mark in ("***", "**", "*", "__", "_", "`", '"', "'")),
                        ("“", "”"), ("‘", "’"), ("«", "»")):  # fmt: skip
        inner = value[len(left) : len(value) - len(right)]
        paired = len(value) > len(left) + len(right) and left not in inner and right not in inner
        if paired and value.startswith(left) and value.endswith(right):
            return inner.strip()
    return value if value.strip("*_`\"'“”‘’«»") else ""


def grade_of(value: str) -> str:
    """The digits of the grade that `value` is, by the grammar above. May be MalformedReply."""
    value = _BOXED.sub(r"\1", value).strip(_EDGES)
    found = _NUMBER.match(value)
    if found is None or len(found["number"]) > 18:
        raise MalformedReply("not_an_integer")
    rest = _rest(value[found.end() :])
    if _AGAIN.match(rest) or _REVISED.search(rest):
        raise MalformedReply("two_grades")
    if not _SILENT.match(rest) and not _WHY.match(rest):
        raise MalformedReply("not_an_integer")
    if not LOWEST <= int(found["number"]) <= HIGHEST:
        raise MalformedReply("out_of_range")
    return found["number"].lstrip("+")


def _rest(text: str) -> str:
    """What follows the number and its scale. MalformedReply for a fraction or another scale."""
    zeros = _ZEROS.match(text)
    text = text[zeros.end() :] if zeros else text
    if _FRACTION.match(text):
        raise MalformedReply("decimal")
    if scale := _SCALE.match(text):
        text = text[scale.end() :]
        if scale["scale"] != str(HIGHEST) or _FRACTION.match(text):
            raise MalformedReply("other_scale")
    unit = _UNIT.match(text)
    return text[unit.end() :] if unit else text


def answer(value: str) -> str:
    """A sub-answer as it is kept: on one line, bare. MalformedReply for an empty one."""
    value = bare(value)
    value = bare(re.sub(r"\A(?:sub-?)?answer\s?:\s?", "", value, flags=re.IGNORECASE))
    if not value:
        raise MalformedReply("empty_sub_answer")
    return value


def is_not_sure(value: str, missing: str) -> bool:
    """Whether a sub-answer says that there is none, by the grammar above."""
    value = value.replace("’", "'").casefold().strip(" .*_`\"'“”«»!")
    missing = missing.casefold()
    if value in (*NOT_SURE, missing) or not value.strip("?-–— "):
        return True
    phrases = rf"(?:{_WORDS}|{re.escape(missing)})[\s*_`\"'”»]*(?:[,;:.(\[–—]|\s-)"
    return bool(re.match(phrases, value) or _UNSURE.match(value) or _ENDS.search(value))
