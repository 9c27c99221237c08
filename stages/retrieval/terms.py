"""Tokenise text for BM25: words, and character pairs in scripts without blanks.

Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan, Javanese and others are written without
blanks between words, so a sentence would be one term that no query shares. As Lucene's analyser for
such scripts does, each run of their characters becomes all its pairs, a lone character itself.
Other text stays. A mark on a letter (a vowel of Hindi or Tamil, a point of Hebrew or Arabic) is a
part of its word.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Iterable

# Letters, and the signs on them, between which Unicode lets a line break without a blank (UAX #14:
# classes ID and CJ, but for Hangul and wide Latin; SA; AK, AP, AS, VF and VI), and Tibetan.
UNSPACED = (
    # Han, kana, bopomofo; Yi, Tangut, Khitan, Nushu
    "\u2e80-\u2fd5\u3005-\u3007\u3031-\u3035\u303b\u303c\u3041-\u3096\u3099\u309a\u309d-\u309f"
    "\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U000323af"
    "\ua000-\ua48c\U00016fe0-\U00016fe4\U00017000-\U00018d08\U0001b170-\U0001b2fb"
    # Thai, Lao, Tibetan, Burmese, Khmer
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf"
    "\u0f00\u0f18\u0f19\u0f35\u0f37\u0f39\u0f40-\u0fbc\u0fc6"
    "\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f"
    "\u1780-\u17d3\u17d7\u17dc\u17dd"
    # Tai Le, New Tai Lue, Tai Tham, Tai Viet, Ahom
    "\u1950-\u1974\u1980-\u19c9\u1a20-\u1a7f\u1aa7\uaa80-\uaadd"
    "\U00011700-\U0001172b\U00011740-\U00011746"
    # Javanese, Balinese, Batak, Cham, Makasar; Brahmi, Grantha, Dives Akuru
    "\ua980-\ua9c0\ua9cf\u1b00-\u1b4c\u1bc0-\u1bf3\uaa00-\uaa4d\U00011ee0-\U00011ef6"
    "\U00011000-\U00011046\U00011070-\U00011075\U00011300-\U00011374"
    "\U00011900-\U00011943"
)
_RUN = re.compile(f"[{UNSPACED}]+")


def terms(texts: Iterable[str], *, ids: bool):
    """bm25s's tokens of `texts`: a Tokenized with `ids`, by first appearance, else lists of terms.

    (Without ids bm25s numbers its words by Python's hash seed.)
    """
    import bm25s

    spread = [_RUN.sub(_pairs, text) for text in texts]
    return bm25s.tokenize(spread, token_pattern=_term(), return_ids=ids, show_progress=False)


@functools.cache
def _term() -> str:
    """The pattern of a term. It takes a walk over all of Unicode, which who only imports this is
    spared."""
    signs = map(chr, range(sys.maxunicode))
    marks = "".join(sign for sign in signs if unicodedata.category(sign)[0] == "M")
    return rf"(?u)[{UNSPACED}]{{1,2}}|\w[\w{marks}]+"  # without marks the second is bm25s's own


def _pairs(run: re.Match) -> str:
    signs = run[0]
    pairs = (signs[position : position + 2] for position in range(max(1, len(signs) - 1)))
    return f" {' '.join(pairs)} "
