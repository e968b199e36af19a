"""Submissions: what is written comes back to the last bit, and every rule of the challenges is kept."""

import json
import zipfile

import numpy as np
import pytest
import torch

from leaplan.errors import ConfigError, DataError, ProblemList
from leaplan.recognition.metrics import best_pairs
from leaplan.recognition.submission import SupervisionLevels, read_submission, write_submission

IDS = ("P01_11_0", "P01_11_1", "P02_03_7")
LEVELS = SupervisionLevels(2, 4, 3)


def scores(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return (10 * torch.randn(len(IDS), size, generator=generator, dtype=dtype) for size in (97, 300))


def written(path, dtype=torch.float32, challenge="action_recognition", with_pairs=False):
    verb, noun = scores(dtype)
    pairs = best_pairs(verb, noun) if with_pairs else None
    write_submission(path, challenge, IDS, verb, noun, LEVELS, pairs)
    return verb, noun, pairs


def document(tmp_path, with_pairs=False):
    """The content of a right submission, to be spoilt."""
    written(tmp_path / "right.zip", with_pairs=with_pairs)
    with zipfile.ZipFile(tmp_path / "right.zip") as archive:
        return json.loads(archive.read("test.json"))


# --- round trip -------------------------------------------------------------------------------------


@pytest.mark.parametrize("challenge", ["action_recognition", "action_anticipation"])
@pytest.mark.parametrize("with_pairs", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_submission_comes_back_to_the_last_bit(tmp_path, dtype, with_pairs, challenge):
    path = tmp_path / "ours.zip"
    verb, noun, pairs = written(path, dtype, challenge, with_pairs)
    found = read_submission(path, IDS)
    assert (found.ids, found.challenge, found.levels) == (IDS, challenge, LEVELS)
    assert torch.equal(found.verb.to(dtype), verb)
    assert torch.equal(found.noun.to(dtype), noun)
    if pairs is None:
        assert found.pairs is None
    else:
        assert all(torch.equal(a, b) for a, b in zip(found.pairs, pairs, strict=True))


def test_the_file_is_a_deflated_zip_with_the_official_fields_and_always_the_same(tmp_path):
    written(tmp_path / "a.zip", with_pairs=True)
    written(tmp_path / "b.zip", with_pairs=True)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        (entry,) = archive.infolist()
        content = json.loads(archive.read(entry))
    assert (entry.filename, entry.compress_type) == ("test.json", zipfile.ZIP_DEFLATED)
    fields = {"version": "0.2", "challenge": "action_recognition", "sls_pt": 2, "sls_tl": 4, "sls_td": 3}
    assert {name: content[name] for name in fields} == fields
    assert set(content) == {*fields, "results"}
    first = content["results"][IDS[0]]
    assert list(first["verb"]) == [str(c) for c in range(97)]
    assert list(first["noun"]) == [str(c) for c in range(300)]
    assert len(first["action"]) == 100


def test_the_fields_are_those_of_the_official_example(shared, tmp_path):
    example = json.loads((shared / "golden" / "golden_epic_metrics.json").read_text())["submission_example_c1"]
    text = json.dumps(example)
    content = document(tmp_path)
    assert all(f'"{name}"' in text for name in content)
    assert all(f'"{name}"' in text for name in content["results"][IDS[0]])


def test_a_bare_json_file_is_read_whatever_the_order_of_its_classes(tmp_path):
    content = document(tmp_path)
    for entry in content["results"].values():
        entry["verb"] = dict(reversed(entry["verb"].items()))
    (tmp_path / "test.json").write_text(json.dumps(content))
    verb, _ = scores()
    assert torch.equal(read_submission(tmp_path / "test.json").verb.float(), verb)


def test_whole_numbers_are_scores_too(tmp_path):
    content = document(tmp_path)
    content["results"][IDS[1]]["verb"] = {str(c): c for c in range(97)}
    (tmp_path / "test.json").write_text(json.dumps(content))
    assert read_submission(tmp_path / "test.json").verb[1].tolist() == list(range(97))


# --- rules, each broken once ------------------------------------------------------------------------


def change(where, **values):
    def spoil(content):
        target = content
        for key in where:
            target = target[key]
        target.update(values)

    return spoil


def remove(*where):
    def spoil(content):
        for key in where[:-1]:
            content = content[key]
        del content[where[-1]]

    return spoil


def rename(old, new, *where):
    def spoil(content):
        for key in where:
            content = content[key]
        content[new] = content.pop(old)

    return spoil


FIRST, LAST = ("results", IDS[0]), ("results", IDS[2])


def an_action(content, name=IDS[1]):
    content["results"][name]["action"] = {f"{v},{n}": 0.0 for v in range(10) for n in range(10)}


def rename_pair(new):
    def spoil(content):
        action = content["results"][IDS[1]]["action"]
        action[new] = action.pop(next(iter(action)))

    return spoil


BROKEN = {
    "version": (change((), version="0.1"), "'version' is '0.1', expected '0.2'"),
    "challenge": (change((), challenge="planning"), "'challenge' is 'planning', expected 'action_recognition' or"),
    "level above 5": (change((), sls_td=6), "'sls_td' is 6, expected 0, 1"),
    "level is text": (change((), sls_pt="2"), "'sls_pt' is '2'"),
    "level is missing": (remove("sls_tl"), "'sls_tl' is None"),
    "no results": (remove("results"), "'results' is no object"),
    "results are empty": (change((), results={}), "'results' is no object"),
    "results are a list": (change((), results=[1, 2]), "'results' is no object"),
    "id missing": (remove(*LAST), "1 narration ids are missing: P02_03_7"),
    "id not expected": (rename(IDS[2], "P99_01_0", "results"), "1 narration ids are not expected: P99_01_0"),
    "no verbs": (remove(*FIRST, "verb"), "P01_11_0: 'verb' is missing"),
    "segment is a number": (change(("results",), **{IDS[1]: 3}), "P01_11_1: 'verb' is missing"),
    "verb missing": (remove(*FIRST, "verb", "96"), "'verb' has 96 scores of 97: no class 96"),
    "noun missing": (remove(*LAST, "noun", "17"), "P02_03_7: 'noun' has 299 scores of 300: no class 17"),
    "no such noun": (change((*LAST, "noun"), **{"300": 0.5}), "no such class as 300"),
    "no such verb": (rename("5", "five", *FIRST, "verb"), "no class 5; no such class as five"),
    "score is text": (change((*FIRST, "verb"), **{"3": "0.5"}), "'verb': the score of 3 is '0.5', not a number"),
    "score is true": (change((*FIRST, "verb"), **{"3": True}), "the score of 3 is True, not a number"),
    "score is null": (change((*FIRST, "noun"), **{"3": None}), "the score of 3 is None, not a number"),
    "score is a list": (change((*FIRST, "noun"), **{"3": [1]}), "the score of 3 is list, not a number"),
    "scores are a list": (change(FIRST, noun=[0.5] * 300), "'noun' is no object of classes and scores"),
    "score is NaN": (change((*FIRST, "verb"), **{"3": float("nan")}), "a score is nan, not finite"),
    "score is infinite": (change((*FIRST, "verb"), **{"3": float("-inf")}), "a score is -inf, not finite"),
    "score is huge": (change((*FIRST, "verb"), **{"3": 10**400}), "a score is inf, not finite"),
    "one has actions": (an_action, "P01_11_1: an 'action', but all segments or none"),
}
BROKEN_ACTIONS = {
    "one has no actions": (remove("results", IDS[1], "action"), "P01_11_1: no 'action', but all segments or none"),
    "the first has no actions": (remove(*FIRST, "action"), "P01_11_1: an 'action', but all segments or none"),
    "actions are null": (change(("results", IDS[1]), action=None), "'action' is missing"),
    "99 pairs": (
        change(("results", IDS[1]), action={f"{v},{n}": 0.0 for v in range(9) for n in range(11)}),
        "99 pairs",
    ),
    "101 pairs": (change(("results", IDS[1], "action"), **{"96,299": 0.1, "96,298": 0.1}), "pairs, expected 100"),
    "pair with a blank": (rename_pair("1, 2"), "'1, 2' is no 'verb,noun'"),
    "pair of three": (rename_pair("1,2,3"), "'1,2,3' is no 'verb,noun'"),
    "pair of one": (rename_pair("1"), "'1' is no 'verb,noun'"),
    "pair beyond verbs": (rename_pair("97,2"), "'97,2' is no 'verb,noun' of classes 0 to 96 and 0 to 299"),
    "pair beyond nouns": (rename_pair("2,300"), "'2,300' is no 'verb,noun'"),
    "pair is negative": (rename_pair("-1,2"), "'-1,2' is no 'verb,noun'"),
    "pair in other digits": (rename_pair("١,2"), "is no 'verb,noun'"),
    "pair score is text": (change(("results", IDS[1], "action"), **{"96,299": "x"}), "the score of 96,299 is 'x'"),
}


@pytest.mark.parametrize(("spoil", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_told(tmp_path, spoil, message):
    content = document(tmp_path)
    spoil(content)
    refused(tmp_path, json.dumps(content), message)


@pytest.mark.parametrize(("spoil", "message"), BROKEN_ACTIONS.values(), ids=BROKEN_ACTIONS)
def test_a_broken_rule_of_actions_is_told(tmp_path, spoil, message):
    content = document(tmp_path, with_pairs=True)
    spoil(content)
    refused(tmp_path, json.dumps(content), message)


def refused(tmp_path, text, message):
    with zipfile.ZipFile(tmp_path / "broken.zip", "w") as archive:
        archive.writestr("test.json", text)
    with pytest.raises(ProblemList) as caught:
        read_submission(tmp_path / "broken.zip", IDS)
    assert message in str(caught.value)
    assert "broken.zip" in str(caught.value)


def test_ids_and_classes_that_are_there_twice_are_told(tmp_path):
    content = document(tmp_path)
    entry = json.dumps(content["results"][IDS[1]])
    text = json.dumps(content)
    refused(tmp_path, f'{text[:-2]}, "{IDS[1]}": {entry}}}}}', "narration id 'P01_11_1' is there 2 times")
    refused(tmp_path, text.replace('"96": ', '"95": ', 1), "'verb' has 97 scores of 97: no class 96")
    refused(tmp_path, text.replace('"96": ', '"96": 0.0, "96": ', 1), "'verb' has 98 scores of 97: a class is repeated")


def test_all_problems_are_told_at_once(tmp_path):
    content = document(tmp_path)
    del content["results"][IDS[0]]["verb"]["3"]
    content["sls_pt"] = 9
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ProblemList, match="2 problems"):
        read_submission(tmp_path / "a.json", IDS)


def test_files_that_are_no_submissions_are_told(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_submission(tmp_path / "none.zip")
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(DataError, match="cannot be read"):
        read_submission(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("results.json", "{}")
    with pytest.raises(DataError, match=r"holds results\.json, but not test\.json"):
        read_submission(tmp_path / "b.zip")
    (tmp_path / "c.json").write_text('{"version": ')
    with pytest.raises(DataError, match="line 1, column 13: not JSON"):
        read_submission(tmp_path / "c.json")
    (tmp_path / "d.json").write_text("[1, 2]")
    with pytest.raises(ProblemList, match="'results' is no object"):
        read_submission(tmp_path / "d.json")
    (tmp_path / "e.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="cannot be read"):
        read_submission(tmp_path / "e.json")


# --- writing ----------------------------------------------------------------------------------------


def test_nothing_that_breaks_a_rule_is_written(tmp_path):
    path = tmp_path / "a.zip"
    verb, noun = scores()
    spoilt = verb.clone()
    spoilt[1, 4] = float("nan")
    with pytest.raises(DataError, match="a verb score of P01_11_1 is not finite"):
        write_submission(path, "action_recognition", IDS, spoilt, noun, LEVELS)
    with pytest.raises(DataError, match=r"noun scores are \(3, 299\)"):
        write_submission(path, "action_recognition", IDS, verb, noun[:, 1:], LEVELS)
    with pytest.raises(DataError, match="'P01_11_0' is there twice"):
        write_submission(path, "action_recognition", ("P01_11_0",) * 3, verb, noun, LEVELS)
    with pytest.raises(DataError, match=r"action scores are \(3, 50\)"):
        write_submission(path, "action_recognition", IDS, verb, noun, LEVELS, best_pairs(verb, noun, 50))
    assert not list(tmp_path.iterdir())


def test_supervision_levels_are_0_to_5():
    with pytest.raises(ConfigError, match="sls_tl is 6"):
        SupervisionLevels(2, 6, 3)
    assert SupervisionLevels().fields() == {"sls_pt": 2, "sls_tl": 3, "sls_td": 4}


@pytest.mark.slow
def test_a_long_submission_is_written_row_by_row(tmp_path):
    import tracemalloc

    ids = [f"P01_01_{i}" for i in range(2000)]
    generator = np.random.default_rng(0)
    verb, noun = (torch.from_numpy(generator.normal(size=(len(ids), c)).astype(np.float32)) for c in (97, 300))
    tracemalloc.start()
    write_submission(tmp_path / "a.zip", "action_anticipation", ids, verb, noun, LEVELS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{(tmp_path / 'a.zip').stat().st_size / 2**20:.0f} MiB, {peak / 2**20:.1f} MiB held while writing")
    assert peak < 2 * 2**20  # the file is 6 MiB, compressed
    found = read_submission(tmp_path / "a.zip", ids)
    assert torch.equal(found.noun.float(), noun)
