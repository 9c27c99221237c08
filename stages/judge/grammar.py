"""Parse one value of a judge's reply: a grade, a sub-answer, or "not sure".

A grade is an integer from 0 to 100 in ASCII digits, and nothing that could be another:

    value  =  [title sign] [name] [sign] number [scale] [why]
    title  =  words without a digit, before ":", "|", "=", an arrow or a dash; no why then, and
              the words are not those of a bound or a guess ("at least: 85" is malformed)
    name   =  "grade", "score", "rating", "relevance" (before them "relevance", "final"), and ":",
              "=", "-" or an arrow; or the sign alone
    number =  digits, with or without a sign and a decimal part of zeros: 85, +85, 085, 85.0;
              also in brackets after words such as "highly relevant": High (85)
    scale  =  "/100", "/ 100", "out of 100", "%", "points" (also in wide signs)
              and behind it, in brackets, the range of grades that holds it: 85 (80 to 100: ...)
    why    =  an explanation, after a bracket, a dash, a colon, a comma, a full stop, a bar or
              "because", "since", "as"

in marks of emphasis, quotes, brackets, `$` or `\\boxed{}`. Everything else is malformed, for one
of these reasons:

    not_an_integer  words, other digits, 1e2, ~85, 85+, and words right behind the number
    decimal         85.5, 0.85, .85, 85,5
    out_of_range    -5, 101
    other_scale     8/10, 4 out of 5, 4 (max 5), or a scale of another size in the words around
    ranking         1..n in some order, where the words around speak of a ranking
    two_grades      85-90, 85 or 90, 85 (or 90), 85 -> 90, 85, no: revised to 90, 85 [1] 20, 85-,
                    21 (album): 85, 85 (was 20), relevance: 85, clarity: 20

A sub-answer is not sure where it is, or begins with, a phrase of NOT_SURE or of the prompt file's
`missing`, whatever the case, quotes, emphasis or full stop: alone, or before ",", ";", ":", ".", a
bracket or a dash. Phrases of UNSURE say so however the sentence goes on. An answer that ends with
"(not sure)" or "but I'm not sure" is not sure either. "NA" in capitals is none. `Unknown Pleasures`
and `None of them` are answers.
"""

from __future__ import annotations

import re
import unicodedata

from stages.judge.prompts import MalformedReply, one_line

_BOXED = re.compile(r"\\(?:boxed|text|textbf|mathbf)\{([^{}]{0,200})\}")
_SIGNS = " ❌✗✘✖✕❓❔⚠️🤷•·"
_EDGES = " \t\r\n*_`\"'“”‘’«»$\\"
_NUMBER = re.compile(
    r"[(\[{]?(?:(?:relevance|final|lr)[ _-])?(?:grade|score|rating|relevance|value)?[*_\s]*+"
    r"(?:is\b)?\s*+(?:[:=|]|[-=]>|[→⇒]|[-–—](?=\s))?[\s*_`\"'$]*+[(\[{]?\s*+(?P<number>[+-]?[0-9]++)",
    re.IGNORECASE,
)
_ZEROS = re.compile(r"\.0++(?![0-9])")
_FRACTION = re.compile(r"[.,][0-9]")
_THOUSANDS = re.compile(r"['’_٬][0-9]")
_TITLED = re.compile(  # at the end of words without digits
    r"[^0-9]*?[^0-9\s~<>≈±+]\s*+(?:[:：=|]|[-=]>|[→⇒]|(?<=\s)[-–—](?=\s))[\s*_`\"'$(]*+"
    r"(?P<grade>\+?[0-9]++(?![.,]?[0-9])\s*+(?:/\s*+100|%)?)[\s*_`\"'$.,;)|]*+\Z"
)
_HEDGED = re.compile(  # a title that says how much, and names no passage
    r"[^\w]*(?:at (?:the )?(?:least|most)|(?:just |well )?(?:about|above|around|below|over|under)"
    r"|approx(?:imately)?|circa|close to|(?:no )?(?:fewer|greater|less|more) than|max(?:imum)?"
    r"|min(?:imum)?|almost|maybe|nearly|not|perhaps|possibly|probably|roughly|up to)\W*\Z",
    re.IGNORECASE,
)
_VERDICT = re.compile(
    r"(?:very |highly |partially |partly |somewhat |moderately |marginally |slightly |not |ir|un)?"
    r"(?:high|medium|moderate|low|relevant|related|perfect|strong|weak)(?: relevance| match)?"
    r"[ \t*_]{0,4}\([ \t]?(?P<grade>[0-9]{1,3}(?:[ \t]?/[ \t]?100|[ \t]?%)?)[ \t]?\)[.\s]{0,4}\Z",
    re.IGNORECASE,
)
_BAND = re.compile(
    r"\s?[(\[]\s?(?P<low>[0-9]{1,2})\s?(?:[-–—]|to)\s?(?P<high>100|[0-9]{1,2})(?![0-9])"
    r"[^()\[\]0-9]{0,60}[)\]]"
)
_OTHER = "(?:[2-9]|10|12|15|20|25|50|1000)(?![.,]?[0-9])(?!\\s?%)"  # ends of scales
_OTHER_SCALE = re.compile(  # of a grade, in brackets behind it
    rf"\s?[(\[][^()\[\]0-9]{{0,20}}?(?:scale|max(?:imum)?|range|out)\b[^()\[\]0-9]{{0,12}}"
    rf"(?:[01]\s?(?:[-–—]|to)\s?)?{_OTHER}",
    re.IGNORECASE,
)
_STATED = re.compile(  # in the words around the grades
    r"\b(?:(?:grades?|scores?|ratings?|scored|graded|rated|relevance)\b[^\n\[\]]{0,30}?"
    r"(?:\b[01]\s?(?:[-–—]|to)\s?|/\s?|\bout of |\bmax(?:imum)?(?: of|:)? )"
    r"|scale\b[^\n\[\]]{0,12}?(?:\b[01]\s?(?:[-–—]|to)\s?|/\s?|\bof )"
    rf"|[01]\s?(?:[-–—]|to)\s?(?={_OTHER}\s?(?:point )?scale)){_OTHER}",
    re.IGNORECASE,
)
_RANKING = re.compile(
    r"\brank(?:s|ed|ing|ings)?\b|\bbest (?:to|first)\b|\bmost (?:to least )?relevant (?:to|first)\b"
    r"|\bin (?:descending )?order\b",
    re.IGNORECASE,
)
_SCALE = re.compile(
    r"\s*+[)\]}*_]*+\s*+\(?(?:[/／]|out of\b|of\b)\s*+(?P<scale>[0-9]++)", re.IGNORECASE
)
_UNIT = re.compile(r"\s*+(?:[%％分点]|percent\b|points?\b|pts?\b)", re.IGNORECASE)
_SILENT = re.compile(r"[^\w+?~<>≈]*+\Z")
_WHY = re.compile(r"\s*+(?:[^\w\s+?~<>≈]|(?:because|since|as)\b)", re.IGNORECASE)
_AGAIN = re.compile(  # a second grade in what follows the first
    r"\s*+[-–—/](?:[0-9]|\Z)"
    r"|\W*+(?:(?:or|to|and|maybe|perhaps)\b\W*+)?(?:100|[0-9]{1,2})(?![0-9])",
    re.IGNORECASE,
)
_ENDING = re.compile(  # a second grade at the end of what follows the first
    r"(?:(?<![0-9])\s?[:=|]|\s[-–—]\s)[\s*_`\"'$(]{0,5}(?:100|[0-9]{1,2})(?:\s?/\s?100|\s?%)?"
    r"[\s*_`\"'$.,;)|]{0,5}\Z"
)
_REVISED = re.compile(
    r"\b(?:wait|actually|correct(?:ion|ed)|revised?|rather|instead|changed?|final(?:ly)?|no"
    r"|make (?:it|that)|should be|i mean|adjust(?:ed|ing)?|(?:up|down|re-?)graded|raised|lowered"
    r"|increased|decreased|reduced|updated|overall|re-?scored|better)\b\W{0,5}(?:\w{1,12}\W{1,3})?"
    r"(?:100|[0-9]{1,2})(?![0-9])"
    r"|[\[(](?:was|were|previously|formerly|originally|initially|before|(?:up|down )?from)\b\W{1,3}"
    r"[0-9]{1,2}(?![0-9])"
    r"|[\[(][0-9]{1,3}[\])][ \t]?[:=-]?[ \t]?[0-9]|(?:->|=>|[→⇒])\s?[0-9]"
    r"|[,;|]\s?[a-z]{3,20}\s?[:=]\s?(?:100|[0-9]{1,2})(?=\s?(?:[,;|/%]|\Z))",
    re.IGNORECASE,
)
LOWEST, HIGHEST = 0, 100

NOT_SURE = (
    *("not sure", "not-sure", "notsure", "unsure", "uncertain", "unclear", "unknown"),
    *("undetermined", "indeterminate", "not known", "not determinable", "cannot determine"),
    *("n/a", "n.a", "not applicable", "none", "null", "nil", "nan", "undefined", "tbd", "?", "-"),
    *("no answer", "no idea", "no clear answer", "no answer found", "answer not found"),
    *("not answerable", "unanswerable", "answer unknown", "answer not available"),
    *("answer not provided", "answer not given", "reference not available"),
    *("not available", "not stated", "not given", "not mentioned", "not specified"),
    *("not provided", "not found", "not clear", "not certain", "none found", "none given"),
    *("none provided", "none stated", "none mentioned", "nothing found", "no data", "no info"),
    *("not in the text", "not in the passages", "not in the documents", "no results"),
    *("no relevant passage", "no relevant passages", "not enough info", "not enough data"),
    *("not enough information", "not enough evidence", "not enough context"),
    *("insufficient information", "insufficient evidence", "insufficient data"),
    *("insufficient context", "no information", "no relevant information"),
    *("information not available", "information not found", "information not provided"),
)
_WORDS = "|".join(re.escape(phrase) for phrase in NOT_SURE if phrase[0].isalpha())
_ABOUT = (  # what does not say it
    r"(?:the |this |these )?(?:(?:provided|given|above|available|retrieved|search) ){0,2}(?:texts?"
    r"|passages?|work|documents?|answers?|information|results?|trajectory|context|sources?|snippets?"
    r"|query|question|assistant)"
)
_SAID = (
    r"(?:determined|told|stated|given|mentioned|provided|found|specified|available|clear|known"
    r"|answered|answerable|inferred|included|contained|addressed|certain)"
)
_UNSURE = re.compile(  # however the sentence goes on
    r"(?:i(?: am|'m) (?:not (?:sure|certain)|unsure)|not sure|(?:i |we )?(?:do not|don't) know"
    r"|(?:i |we )have no (?:idea|clue)|we (?:are|were) not told|unknown (?:from|based on)"
    r"|(?:i |we )?(?:cannot|can not|can't|could not|couldn't) (?:be )?(?:tell|told|say|determined?"
    r"|answer(?:ed)?|find|found|known|inferred)"
    r"|(?:i(?: am|'m| was) |it is )?(?:unable|not possible|impossible) to (?:determine|answer|find"
    r"|tell|say|identify)"
    r"|it(?: is|'s) (?:not (?:clear|known|stated|mentioned|specified|given)|unclear|unknown)"
    r"|(?:there(?: is|'s) )?(?:no|not enough|insufficient) (?:relevant )?(?:information|mention of)"
    r"|there (?:is not|isn't) (?:enough|any) "
    r"|(?:no|none of the) (?:provided |given |relevant )?(?:passages?|documents?|texts?|results?"
    r"|sources?) (?:directly |explicitly )?(?:states?|mentions?|says?|answers?|gives?|contains?"
    r"|provides?|tells?)"
    rf"|not (?:directly |explicitly )?{_SAID} (?:in|by|from|here|anywhere)"
    rf"|not (?:directly|explicitly|clearly|specifically) {_SAID}"
    rf"|{_ABOUT} (?:do|does|did)(?: not|n't)"
    rf"|(?:{_ABOUT}|it|this|that) (?:(?:(?:(?:is|are|was|were) )?not|(?:is|are|was|were)n't)"
    rf" (?:[a-z]{{1,12}}ly )?{_SAID}"
    rf"|(?:cannot|can't|could not|couldn't) be {_SAID}"
    r"|(?:is|are|was|were|remains?) (?:unknown|unclear|uncertain|undetermined|unavailable|missing"
    r"|absent)))\b"
)
_OPENING = re.compile(  # what may stand before such a sentence
    r"\A(?:(?:a|result|response|output|reply)\s?:\s?|the (?:short |final )?answer (?:is|was):?\s"
    r"|(?:sorry|unfortunately|(?:based on|according to|from) [a-z ]{1,40}),\s)"
)
_ENDS = re.compile(r"[(\[,;–—-]\s?(?:but )?(?:i am |i'm )?(?:not sure|unsure|uncertain)[.)\]]*\Z")


_NAME = re.compile(
    r"\A(?:(?:[-–—=→⇒]|[-=]>)\s)?(?:(?:(?:short|final|sub) ?-?)?answer\s?:\s?)?", re.IGNORECASE
)
_WRAPPED = re.compile(r"\A<([a-z_]{1,20})>([^<>]*)</\1>\Z", re.IGNORECASE)


def bare(value: str) -> str:
    """The value on one line, without emphasis, quotes and boxes around it."""
    value = _WRAPPED.sub(r"\2", one_line(_BOXED.sub(r"\1", value))).strip()
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
    if _FRACTION.match(value):
        raise MalformedReply("decimal")
    if verdict := _VERDICT.match(value):
        value = verdict["grade"]
    found = _NUMBER.match(value)
    if found is None and (titled := _TITLED.match(value)):
        title, value = value[: titled.start("grade")], titled["grade"]
        found = None if _HEDGED.match(title) else _NUMBER.match(value)
    if found is None or len(found["number"]) > 18:
        raise MalformedReply("not_an_integer")
    rest = _rest(value[found.end() :])
    band = _BAND.match(rest)
    if band and int(band["low"]) <= int(found["number"]) <= int(band["high"]):
        rest = rest[band.end() :]
    if _AGAIN.match(rest) or _REVISED.search(rest) or _ENDING.search(rest):
        raise MalformedReply("two_grades")
    if not _SILENT.match(rest) and not _WHY.match(rest):
        raise MalformedReply("not_an_integer")
    if not LOWEST <= int(found["number"]) <= HIGHEST:
        raise MalformedReply("out_of_range")
    return found["number"].lstrip("+")


def check_words(words: str, grades: list[int]) -> None:
    """MalformedReply if what stands around the `grades` says that they are none of 0 to 100.

    `words`: the lines of the reply that are of no item.
    """
    if _STATED.search(words):
        raise MalformedReply("other_scale")
    ranks = len(grades) > 1 and sorted(grades) == list(range(1, len(grades) + 1))
    if ranks and _RANKING.search(words):
        raise MalformedReply("ranking")


def _rest(text: str) -> str:
    """What follows the number and its scale. MalformedReply for a fraction or another scale."""
    if _THOUSANDS.match(text):
        raise MalformedReply("not_an_integer")
    if _OTHER_SCALE.match(text):
        raise MalformedReply("other_scale")
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
    value = bare(_NAME.sub("", value).rstrip(",;"))
    if not value:
        raise MalformedReply("empty_sub_answer")
    return value


def is_not_sure(value: str, missing: str) -> bool:
    """Whether a sub-answer says that there is none, by the grammar above."""
    capitals = value.strip(" .") == "NA"
    value = unicodedata.normalize("NFKC", value).replace("’", "'").replace("_", " ").casefold()
    value = _OPENING.sub("", value.lstrip(_SIGNS)).strip(" .…*`\"'“”«»!<>{}[]()")
    missing = missing.casefold()
    if capitals or value in (*NOT_SURE, "blank", missing) or not value.strip("?-–— "):
        return True
    phrases = rf"(?:{_WORDS}|{re.escape(missing)})[\s*_`\"'”»]*(?:[,;:.(\[–—]|\s[-/]\s)"
    return bool(re.match(phrases, value) or _UNSURE.match(value) or _ENDS.search(value))
