"""Planning metrics straight from their definitions: loops over Python lists and NumPy, one sample at a time."""

import numpy as np


def unpadded(plan):
    return [int(step) for step in plan if step >= 0]


def success_rate(pred, target):
    return np.mean([unpadded(p) == unpadded(t) for p, t in zip(pred, target, strict=True)])


def mean_accuracy(pred, target):
    right = total = 0
    for p, t in zip(map(unpadded, pred), map(unpadded, target), strict=True):
        for position, step in enumerate(t):
            total += 1
            right += position < len(p) and p[position] == step
    return right / total


def mean_iou(pred, target):
    pairs = [(set(unpadded(p)), set(unpadded(t))) for p, t in zip(pred, target, strict=True)]
    return np.mean([len(p & t) / len(p | t) for p, t in pairs])


def levenshtein(a, b):
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return levenshtein(a[1:], b[1:])
    return 1 + min(levenshtein(a[1:], b), levenshtein(a, b[1:]), levenshtein(a[1:], b[1:]))


def edit_score(pred, target):
    pairs = [(unpadded(p), unpadded(t)) for p, t in zip(pred, target, strict=True)]
    return np.mean([1 - levenshtein(p, t) / max(len(p), len(t)) for p, t in pairs])


def accuracy_at_k(logits, target, k):
    inside = total = 0
    for scores, steps in zip(logits, target, strict=True):
        for row, step in zip(scores, steps, strict=True):
            order = sorted(range(len(row)), key=lambda c: (-row[c], c))
            inside += step in order[:k]
            total += 1
    return inside / total


def macro_precision(pred, target):
    pred, target = np.ravel(pred), np.ravel(target)
    values = []
    for c in sorted(set(pred) | set(target)):
        predicted = (pred == c).sum()
        values.append(((pred == c) & (target == c)).sum() / predicted if predicted else 0.0)
    return np.mean(values)


def mean_iou_batch(pred, target, batch_size):
    total = 0.0
    for i in range(0, len(pred), batch_size):
        p, t = set(np.ravel(pred[i : i + batch_size])), set(np.ravel(target[i : i + batch_size]))
        total += len(p & t) / len(p | t) * len(pred[i : i + batch_size])
    return total / len(pred)


def mean_iou_cumulative(pred, target, batch_size):
    values = []
    for i in range(0, len(pred), batch_size):
        p, t = set(), set()
        for a, b in zip(pred[i : i + batch_size], target[i : i + batch_size], strict=True):
            p |= set(a)
            t |= set(b)
            values.append(len(p & t) / len(p | t))
    return np.mean(values)


def mean_iou_bitwise(pred, target):
    return np.mean(
        [(np.sum(p & t) + 1e-6) / (np.sum(p | t) + 1e-6) for p, t in zip(np.array(pred), np.array(target), strict=True)]
    )


def sampled_scores(samples, target, references, classes):
    """ModePrec, ModeRec, KL and NLL of one sample: draws (S, T), its target (T,), all windows (M, T)."""
    group = [tuple(r) for r in references if r[0] == target[0] and r[-1] == target[-1]]
    drawn = [tuple(s) for s in samples]
    precision = np.mean([s in group for s in drawn])
    recall = np.mean([r in drawn for r in group])
    kl = nll = 0.0
    for t in range(len(target)):
        r, s = (np.bincount([p[t] for p in plans], minlength=classes) / len(plans) for plans in (group, drawn))
        r, s = (np.exp(10 * x) / np.exp(10 * x).sum() for x in (r, s))
        kl += np.sum(r * (np.log(r) - np.log(s)))
        nll += -np.sum(r * np.log(s))
    return precision, recall, kl / len(target), nll / len(target)
