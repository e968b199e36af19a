"""Chains over steps by brute force: every one of the N^T plans, one at a time."""

import itertools

import numpy as np


def plan_scores(log_emissions, log_transitions, log_initial=None):
    """All plans in lexicographic order and their log scores, for one sample (T, N)."""
    steps, classes = log_emissions.shape
    if log_initial is None:
        log_initial = np.full(classes, -np.log(classes))
    plans = list(itertools.product(range(classes), repeat=steps))
    scores = []
    for plan in plans:
        score = log_initial[plan[0]] + sum(log_emissions[t, step] for t, step in enumerate(plan))
        scores.append(score + sum(log_transitions[a, b] for a, b in itertools.pairwise(plan)))
    return plans, np.array(scores)


def viterbi_loop(log_emissions, log_transitions):
    """The best plans of many samples (B, T, N), one sample after the other, with back pointers."""
    plans = []
    for emissions in log_emissions:
        best, pointers = emissions[0], []
        for emission in emissions[1:]:
            paths = best[:, None] + log_transitions
            pointers.append(paths.argmax(0))
            best = paths.max(0) + emission
        plan = [int(best.argmax())]
        for pointer in reversed(pointers):
            plan.append(int(pointer[plan[-1]]))
        plans.append(plan[::-1])
    return np.array(plans)
