"""BM25 over scripts without blanks, and over texts that have no words."""

import re
import sys
import unicodedata
from pathlib import Path

import bm25s
import numpy as np
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from real_files import PASSAGES, needs

from stages.common.records import Passage, write_passages
from stages.plumbing.errors import InputError
from stages.retrieval import bm25
from stages.retrieval.corpus import PassageFile, line_starts
from stages.retrieval.terms import UNSPACED, terms

TEXTS = {  # (title, text): what is asked for it
    ("长城", "长城是中国古代的军事防御工程，全长两万多公里。"): "中国古代防御工程有多长",
    ("黄河", "黄河是中国第二长河，发源于青海省。"): "黄河发源于哪里",
    ("富士山", "富士山は日本で最も高い山で、静岡県と山梨県にまたがる。"): "日本で最も高い山",
    ("琵琶湖", "琵琶湖は滋賀県にある日本最大の湖である。"): "滋賀県の湖",
    ("กรุงเทพ", "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย"): "เมืองหลวงของไทย",
    ("เชียงใหม่", "เชียงใหม่เป็นจังหวัดในภาคเหนือ มีดอยอินทนนท์"): "ดอยอินทนนท์อยู่จังหวัดใด",
    ("ភ្នំពេញ", "ភ្នំពេញជារាជធានីនៃប្រទេសកម្ពុជា"): "រាជធានីនៃកម្ពុជា",
    ("ꦗꦮ", "ꦏꦸꦛꦗꦺꦴꦒꦗꦏꦂꦠꦲꦶꦏꦸꦏꦸꦛꦲꦤꦁꦥꦸꦭꦺꦴꦗꦮ"): "ꦥꦸꦭꦺꦴꦗꦮ",
    ("ᬩᬮᬶ", "ᬩᬮᬶᬳᬤᬮᬳᬧᬸᬮᭀᬭᬶᬇᬦ᭄ᬤᭀᬦᬾᬱᬶᬬ"): "ᬧᬸᬮᭀ",
    ("ᨩ᩠ᨿᨦ", "ᨩ᩠ᨿᨦᩉ᩠ᨾᩲ᩵ᨸᩮ᩠ᨶᨧᩢ᩠ᨦᩉ᩠ᩅᩢᨯ"): "ᨧᩢ᩠ᨦᩉ᩠ᩅᩢᨯ",
    ("ꪎꪱꪥ", "ꪼꪕꪒꪾꪀꪫꪱꪣꪼꪕꪒꪾ"): "ꪀꪫꪱꪣ",
    ("ᦟᦹᧉ", "ᦅᧄᦺᦑᦟᦹᧉᦂᧀᦷᦢᦆᧁᧈ"): "ᦷᦢᦆᧁᧈ",
    ("iPhone", "iPhone手机由Apple公司设计。"): "Apple手机",
    ("Tower", "The Eiffel Tower stands in Paris."): "where is the Eiffel tower",
}


def built(folder: Path, passages: list[tuple[str, str]]) -> bm25.Bm25Index:
    path = folder / "passages.jsonl"
    rows = [Passage(str(n), title, text) for n, (title, text) in enumerate(passages)]
    write_passages(path, rows)
    bm25.build(PassageFile(path, line_starts(path)), folder / "index")
    return bm25.Bm25Index.load(folder / "index", len(rows))


def test_scripts_without_blanks_are_found(tmp_path, capsys):
    index = built(tmp_path, list(TEXTS))
    found = index.search(list(TEXTS.values()), 3)
    assert [positions[0] for positions, _ in found] == list(range(len(TEXTS)))
    assert all((scores > 0).all() for _, scores in found)
    assert capsys.readouterr().err == ""


MARKED = {  # scripts whose vowels or points are marks on letters
    ("दिल्ली", "नई दिल्ली भारत की राजधानी है।"): "भारत की राजधानी",
    ("मुंबई", "मुंबई महाराष्ट्र का सबसे बड़ा नगर है।"): "महाराष्ट्र का नगर",
    ("சென்னை", "சென்னை தமிழ்நாட்டின் தலைநகரம் ஆகும்."): "தமிழ்நாட்டின் தலைநகரம்",
    ("ঢাকা", "ঢাকা বাংলাদেশের রাজধানী।"): "বাংলাদেশের রাজধানী",
    ("القاهرة", "القاهرة عاصمة مصر وأكبر مدنها."): "عاصمة مصر",
    ("القرآن", "بِسْمِ اللَّهِ الرَّحْمَٰنِ الرَّحِيمِ"): "الرَّحْمَٰنِ",
    ("ירושלים", "בְּרֵאשִׁית בָּרָא אֱלֹהִים"): "בְּרֵאשִׁית",
}


def test_marks_are_parts_of_their_words(tmp_path, capsys):
    index = built(tmp_path, list(MARKED))
    found = index.search(list(MARKED.values()), 1)
    assert [positions[0] for positions, _ in found] == list(range(len(MARKED)))
    assert terms(["राजधानी हिन्दी", "בָּרָא"], ids=False) == [["राजधानी", "हिन्दी"], ["בָּרָא"]]
    assert capsys.readouterr().err == ""


def test_what_shares_no_term_is_not_found(tmp_path, capsys):
    index = built(tmp_path, list(TEXTS))
    found = index.search(["unheard", "the of", "", "?!", "河"], 3)
    assert [len(positions) for positions, _ in found] == [0, 0, 0, 0, 0]
    said = "BM25: 3 of 5 queries have no word that it can look for, so nothing is found for them\n"
    assert capsys.readouterr().err == said


def test_passages_without_terms_are_counted(tmp_path, capsys):
    built(tmp_path, [("?", "!")] * 2 + [("word", "word")] * 98)
    assert "2 of 100 passages have no word that BM25 can index" in capsys.readouterr().err
    built(tmp_path, [("?", "!")] + [("word", "word")] * 99)
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match=r"passages\.jsonl: no passage has a word that BM25 can"):
        built(tmp_path, [("?", "!"), ("the", "of")])


def test_runs_become_pairs_and_words_stay():
    found = terms(["我们ok线上 a1水 ﾃｽﾄ กำ", "Plain words, the_x 7"], ids=False)
    assert found == [
        ["我们", "ok", "线上", "a1", "水", "ﾃｽ", "ｽﾄ", "กำ"],
        ["plain", "words", "the_x"],
    ]


def test_what_a_line_may_break_in_without_a_blank_is_unspaced():
    """Unicode's classes, as the package that knows them has them (a newer one may know more)."""
    breaks = regex.compile(r"[\p{lb=SA}\p{lb=AK}\p{lb=AP}\p{lb=AS}\p{lb=VF}\p{lb=VI}\p{lb=CJ}]")
    wide = regex.compile(r"[\p{lb=ID}--[\p{script=Hangul}\p{script=Latin}]]", regex.V1)
    inside = re.compile(f"[{UNSPACED}]")
    for sign in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(sign)[0] in "LM":
            joined = breaks.match(sign) or wide.match(sign)
            assert not joined or inside.match(sign), unicodedata.name(sign)
    assert not any(map(inside.match, "0a\uff21\uac00\u0915\u0e50\u1b50\ua9d0")), "have blanks"


@given(st.text(st.characters(max_codepoint=0x24F)))
def test_text_of_other_scripts_has_bm25s_own_terms(text):
    assert terms([text], ids=False) == bm25s.tokenize(text, return_ids=False, show_progress=False)


@needs(PASSAGES)
def test_real_english_passages_keep_their_terms_but_for_other_scripts_and_marks():
    contents = [p.contents for p in PassageFile(PASSAGES, line_starts(PASSAGES))]
    ours, theirs = terms(contents, ids=False), bm25s.tokenize(contents, return_ids=False)
    differ = [text for text, a, b in zip(contents, ours, theirs, strict=True) if a != b]
    assert len(differ) < 0.03 * len(contents)
    assert all(any(sign >= "\u0300" for sign in text) for text in differ)
    assert np.mean([len(a) >= len(b) for a, b in zip(ours, theirs, strict=True)]) > 0.99
