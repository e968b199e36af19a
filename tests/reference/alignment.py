"""Alignment losses straight from their definitions: loops over windows and steps, NumPy only."""

import numpy as np


def similarities(vision, text, temperature):
    """(b, G) of raw vectors (b, T, P) and (G, T, P): the mean over t of cosines, divided by the temperature."""
    table = np.zeros((len(vision), len(text)))
    for i, one in enumerate(vision):
        for k, other in enumerate(text):
            cosines = [v @ e / np.linalg.norm(v) / np.linalg.norm(e) for v, e in zip(one, other, strict=True)]
            table[i, k] = np.mean(cosines) / temperature
    return table


def vlc_loss(vt, tv, plans, all_plans):
    total = 0.0
    for table in (vt, tv):
        for scores, plan in zip(table, plans, strict=True):
            log_total = np.log(np.sum(np.exp(scores - scores.max()))) + scores.max()
            total += np.mean([log_total - s for s, other in zip(scores, all_plans, strict=True) if same(plan, other)])
    return total / 2 / len(plans)


def vlm_loss(logits, exists):
    total = 0.0
    for positive, wrong_vision, wrong_text, one in zip(*logits, exists, strict=True):
        if one:
            total -= np.log(chance(positive)) + np.log(1 - chance(wrong_vision)) + np.log(1 - chance(wrong_text))
    return total / 3 / len(exists)


def hardest_negative(scores, plan, all_plans):
    """The index of the highest score among other plans, None where all are the same."""
    others = [k for k, other in enumerate(all_plans) if not same(plan, other)]
    return max(others, key=lambda k: scores[k], default=None)


def same(plan, other):
    return [int(step) for step in plan] == [int(step) for step in other]


def chance(logit):
    return 1 / (1 + np.exp(-logit))
