"""EPIC-KITCHENS-100's scores written once more, sample by sample in NumPy, from their description."""

import numpy as np


def ranking(row):
    """Classes from the likeliest to the unlikeliest; of equals the smaller first."""
    return sorted(range(len(row)), key=lambda c: (-row[c], c))


def product(verb, noun):
    """The 100 best pairs of one sample, out of all of its 100 best verbs and nouns; of equals the better verb first.

    The log of p(v) p(n) is the sum of the logits and a constant.
    """
    pairs = [(v, n) for v in ranking(verb)[:100] for n in ranking(noun)[:100]]
    return sorted(pairs, key=lambda pair: -(verb[pair[0]] + noun[pair[1]]))[:100]


def hits(rankings, truths, k):
    return [truth in ranked[:k] for ranked, truth in zip(rankings, truths, strict=True)]


def accuracy(rankings, truths, k):
    return np.mean(hits(rankings, truths, k))


def mean_recall(rankings, truths, k=5):
    found = hits(rankings, truths, k)
    return np.mean(
        [np.mean([hit for hit, t in zip(found, truths, strict=True) if t == truth]) for truth in set(truths)]
    )


def rankings(verb, noun):
    """Rankings of verbs, nouns and actions of all samples."""
    return {
        "verb": [ranking(row) for row in verb],
        "noun": [ranking(row) for row in noun],
        "action": [product(v, n) for v, n in zip(verb, noun, strict=True)],
    }


def official(verb, noun, verb_class, noun_class, unseen, tail_verbs, tail_nouns):
    """All official figures of both challenges as fractions, under the names of their scripts."""
    ranked = rankings(verb, noun)
    truths = {"verb": list(verb_class), "noun": list(noun_class), "action": list(zip(verb_class, noun_class))}  # noqa: B905
    in_verb = [v in tail_verbs for v in verb_class]
    in_noun = [n in tail_nouns for n in noun_class]
    everywhere = [True] * len(verb_class)
    subsets = {
        "all": dict.fromkeys(truths, everywhere),
        "unseen": dict.fromkeys(truths, unseen),
        "tail": {"verb": in_verb, "noun": in_noun, "action": np.logical_or(in_verb, in_noun)},
    }
    found = {}
    for name, masks in subsets.items():
        for kind, mask in masks.items():
            r = [each for each, inside in zip(ranked[kind], mask, strict=True) if inside]
            t = [each for each, inside in zip(truths[kind], mask, strict=True) if inside]
            for k in (1, 5) if name == "all" else (1,):
                found[f"{name}_{kind}_accuracy_at_{k}"] = accuracy(r, t, k)
            found[f"{'overall' if name == 'all' else name}_{kind}_mt5r"] = mean_recall(r, t)
    return found
