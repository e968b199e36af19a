"""Losses and scores of programs straight from their definitions: one clip, slot and label at a time, in float64."""

import math

import numpy as np


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max()
    return shifted - math.log(np.exp(shifted).sum())


def class_loss(logits, target, smoothing=0.0):
    """Sum and count."""
    total = count = 0
    for row, label in zip(logits, target, strict=True):
        if label >= 0:
            log = log_softmax(row)
            total -= (1 - smoothing) * log[label] + smoothing * log.mean()
            count += 1
    return total, count


def program_loss(verb, first, second, program, valid):
    """Sum and count of L_T over logits (N, W, K, classes)."""
    total = count = 0
    for n, w in np.argwhere(valid):
        count += 1
        slots = [k for k, filled in enumerate(program["mask"][n, w]) if filled]
        stop = [len(slots)] if len(slots) < len(program["mask"][n, w]) else []
        for logits, name, over in ((verb, "verb", slots + stop), (first, "first", slots), (second, "second", slots)):
            total += np.mean([-log_softmax(logits[n, w, k])[program[name][n, w, k]] for k in over])
    return total, count


def condition_loss(before, after, program, valid, weights):
    """Sum and count of L_PC over logits (N, W, K, P) with weights (2, P)."""
    total = count = 0
    for n, w in np.argwhere(valid):
        count += 1
        slots = [k for k, filled in enumerate(program["mask"][n, w]) if filled]
        for side, (logits, name) in enumerate(((before, "before"), (after, "after"))):
            values = []
            for k in slots:
                for p, label in enumerate(program[name][n, w, k]):
                    chance = 1 / (1 + math.exp(-float(logits[n, w, k, p])))
                    values.append(-weights[side][p] * math.log(chance) if label else -math.log(1 - chance))
            total += np.mean(values)
    return total, count


def program_of(verb, first, second):
    """The triples of the most probable classes up to the first stop, from logits (K, classes)."""
    triples = []
    for v, a, b in zip(verb, first, second, strict=True):
        if np.argmax(v) == 0:
            break
        triples.append((int(np.argmax(v)), int(np.argmax(a)), int(np.argmax(b))))
    return triples


def levenshtein(ours, theirs):
    table = [[i + j for j in range(len(theirs) + 1)] for i in range(len(ours) + 1)]
    for i, one in enumerate(ours, 1):
        for j, other in enumerate(theirs, 1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (one != other))
    return table[-1][-1]


def scores(logits, program, valid):
    """All scores; logits are five arrays (N, W, K, classes)."""
    verb, first, second, before, after = logits
    right = {"s_verb": [], "object_a": [], "object_b": []}
    f1, edit, sides = [], [], {"before_f1": [0, 0], "after_f1": [0, 0]}
    for n, w in np.argwhere(valid):
        slots = np.flatnonzero(program["mask"][n, w])
        for name, kind, values in zip(right, ("verb", "first", "second"), (verb, first, second), strict=True):
            right[name] += [np.argmax(values[n, w, k]) == program[kind][n, w, k] for k in slots]
        ours = program_of(verb[n, w], first[n, w], second[n, w])
        theirs = [tuple(int(program[kind][n, w, k]) for kind in ("verb", "first", "second")) for k in slots]
        f1.append(2 * len(set(ours) & set(theirs)) / (len(set(ours)) + len(set(theirs))))
        edit.append(1 - levenshtein(ours, theirs) / max(len(ours), len(theirs)))
        for name, kind, values in (("before_f1", "before", before), ("after_f1", "after", after)):
            said = {(k, p) for k, p in np.argwhere(values[n, w] > 0) if k in slots}
            true = {(k, p) for k, p in np.argwhere(program[kind][n, w] > 0) if k in slots}
            sides[name][0] += 2 * len(said & true)
            sides[name][1] += len(said) + len(true)
    found = {name: np.mean(values) for name, values in right.items()}
    found |= {name: common / size for name, (common, size) in sides.items()}
    return found | {"set_f1": np.mean(f1), "edit_score": np.mean(edit)}
