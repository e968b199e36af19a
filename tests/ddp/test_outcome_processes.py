"""Two real processes (gloo) gather the scores of one, and find its figures to the last bit."""

import pytest
import torch

from leaplan.recognition.gathering import RecognitionMetrics
from leaplan.recognition.metrics import Labels, Scores
from leaplan.recognition.outcome import figures, pairs_of
from tests.recognition.test_metrics import N
from tests.recognition.test_outcome import collected, split, subsets_of

EVEN, ODD = torch.arange(0, N, 2), torch.arange(1, N, 2)
SHARES = {
    "uneven": [EVEN.split(6), (*ODD[:-3].split(6), ODD[-3:])],
    "padded": [EVEN.split(6), torch.cat([ODD, torch.tensor([0, 2])]).split(6)],
    "one is idle": [torch.arange(N).split(9), ()],
}


def results(batches):
    """Everything that a process finds that sees `batches`; floats as hexadecimals: equal to the last bit."""
    scores, labels, vocabulary = split()
    metric = RecognitionMetrics(action_pairs=pairs_of(vocabulary))
    for rows in batches:
        one_view = Scores(*(each[rows, 0] for each in scores))
        metric.update(rows, one_view, Labels(*(label[rows] for label in labels)))
    outcome = collected(batches)
    gathered = outcome.gathered()
    table = figures(gathered, vocabulary, subsets_of(labels))
    found = {f"{section}.{name}": float(v).hex() for section, part in table.items() for name, v in part.items()}
    found |= {name: float(value).hex() for name, value in metric.compute().items()}
    content = b"".join(each.numpy().tobytes() for each in gathered.scores)
    return {**found, "scores": content.hex(), "computed": int(outcome.compute().index.sum())}


def on_process(rank):
    return {case: results(shares[rank]) for case, shares in SHARES.items()}


@pytest.mark.slow
def test_two_processes_find_what_one_finds(pair):
    alone = results(torch.arange(N).split(N))
    for found in pair.found(__name__):
        assert found == dict.fromkeys(SHARES, alone)
