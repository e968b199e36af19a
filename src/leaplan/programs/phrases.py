"""English words in the forms that annotators and narrators use, brought to one form for looking up."""

import re
from functools import lru_cache

TEXT = 1000  # characters of a narration that are looked at

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
ARTICLES = frozenset(
    ("a", "an", "the", "some", "my", "your", "his", "her", "its", "our", "their",
     "this", "that", "these", "those", "another", "both")
)  # fmt: skip

_PLURALS = {"knives": "knife", "leaves": "leaf", "loaves": "loaf", "halves": "half", "shelves": "shelf"}
_ALIKE = ("ss", "us", "is", "as", "os")  # ends of words that are no plurals: glass, asparagus, gas, couscous

_PAST = {
    "took": "take", "taken": "take", "taking": "take", "cutting": "cut", "putting": "put", "got": "get",
    "getting": "get", "held": "hold", "poured": "pour", "ate": "eat", "eaten": "eat", "drank": "drink",
    "threw": "throw", "thrown": "throw", "broke": "break", "broken": "break", "shook": "shake", "shaken": "shake",
    "spread": "spread", "dried": "dry", "fried": "fry", "felt": "feel", "hung": "hang", "swept": "sweep",
    "rose": "rise", "fed": "feed", "ground": "grind", "left": "leave", "wrung": "wring", "tore": "tear",
}  # fmt: skip


def words_of(text: str) -> list[str]:
    """Return the words of `text` in lower case, without punctuation; hyphens, colons and "_" part words.

    Of a text that is longer than any narration, the words of the beginning.
    """
    if len(text) > TEXT:
        text = text[:TEXT].rpartition(" ")[0]
    return _WORD.findall(text.casefold())


@lru_cache(1 << 14)
def singular(word: str) -> str:
    """Return the singular of a noun, by rules that leave what is no plural as it is in most cases."""
    if word in _PLURALS:
        return _PLURALS[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(_ALIKE):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("oes", "sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    return word[:-1]


@lru_cache(1 << 14)
def verb_forms(word: str) -> tuple[str, ...]:
    """Return what `word` may be a form of, the word itself first: "picks", "picking", "picked" of "pick"."""
    forms = [word]
    if word in _PAST:
        forms.append(_PAST[word])
    for end in ("ing", "ed", "es", "s"):
        stem = word.removesuffix(end)
        if stem != word and len(stem) > 1:
            forms += [stem, f"{stem}e"]
            if len(stem) > 2 and stem[-1] == stem[-2]:
                forms.append(stem[:-1])
            if stem.endswith("i"):
                forms.append(f"{stem[:-1]}y")
    return tuple(dict.fromkeys(forms))
