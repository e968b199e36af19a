"""Commands and code of README and docs are run, as they stand, in a folder that holds something small for each."""

import json
import re
import shlex
import sys

import numpy as np
import pytest
import torch

from leaplan.__main__ import main
from leaplan.cli import LeaplanCLI, ParserRefusal, with_files
from leaplan.recognition.network import Recogniser
from leaplan.records import RecognitionProblem, Step, Vocabulary
from tests.documented_runs import RUN
from tests.documents import (
    REPOSITORY,
    TRAINER,
    Command,
    arguments_of,
    calls_of_make,
    commands,
    first_line_of_an_experiment,
    named_files,
)
from tests.programs.small_epic import write_epic
from tests.small_niv import write_small_niv
from tests.test_compare import write_run
from tests.video.made_videos import make_video

pytestmark = pytest.mark.slow
SHOWN = commands()
RUNNABLE = [each for each in SHOWN if any(re.search(rule, " ".join(each.words)) for rule in RUN)]
SHORTENED = {  # what is added to a command so that it ends soon
    "fit --config workshop.yaml": ["--trainer.max_epochs", "3", "--threads", "1"],
    "study": ["--dry-run"],
    "score": ["--bootstrap", "50"],
    "compare": ["--bootstrap", "50"],
}
MAY_END_WITH = {"check-programs": (0, 1)}  # programs of the small kitchen's odd verb are missing


def write_plans(path, seed: int) -> None:
    """Write predictions of twelve windows of four videos, as a run does: several decodings, what training has seen."""
    draw = np.random.default_rng(seed)
    lines = []
    for window in range(12):
        plans = {name: draw.integers(0, 5, 3).tolist() for name in ("argmax", "viterbi")}
        about = {"sample_id": f"v{window % 4}:{window}+3", "video": f"v{window % 4}", "steps": [window % 5, 1, 2]}
        lines.append(json.dumps({**about, "plans": plans, "seen_in_training": window % 2 == 0}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_workshop(root) -> None:
    """Write the dataset of docs/extending.md: eight films of two tasks, and features that tell the steps."""
    folder = root / "workshop"
    (folder / "features").mkdir(parents=True)
    draw, rows = np.random.default_rng(0), ["video,split,task,step,start,stop"]
    looks = draw.normal(size=(8, 6))
    for number in range(12):
        split = "test" if number % 4 == 3 else "train"
        task = ("chair", "table")[number % 2]
        steps = [0, 1, 2, 3] if number % 3 else [1, 0, 2, 3]
        rows += [f"film{number},{split},{task},part {step},{3 * i},{3 * i + 3}" for i, step in enumerate(steps)]
        array = np.repeat(looks[[step + 4 * (number % 2) for step in steps]], 3, axis=0)
        array = np.vstack([array, array[-1:]]) + draw.normal(0, 0.1, (13, 6))
        np.save(folder / "features" / f"film{number}.npy", array.astype(np.float32))
    (folder / "steps.csv").write_text("\n".join(rows) + "\n")
    (folder / "videos").mkdir()
    make_video(folder / "videos" / "film0.mp4", frames=75)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder in which the commands find what they name."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "configs").symlink_to(REPOSITORY / "configs")
    data = folder / "data"
    write_small_niv(data)
    write_epic(data)
    write_workshop(data)
    for name, text in named_files(REPOSITORY / "docs" / "extending.md").items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in ("runs/planllm-synthetic-t3/predictions/test", "ours", "seed7", "seed8", "seed9"):
        write_plans(folder / f"{path}.jsonl", seed=len(path))
    ids = np.array([f"v{window % 4}:{window}+3" for window in range(12)])
    target = np.array([[window % 5, 1, 2] for window in range(12)])
    np.savez(folder / "theirs.npz", target=target, pred=target[::-1], sample_id=ids)
    for seed in (7, 8):
        for name, signal in (("plain", 1.0), ("", 2.0)):
            run = folder / "runs" / "-".join(filter(None, ["leap-recognise", name, str(seed)]))
            write_run(run, seed, signal, programs={"s_verb": 0.5})
    return folder


def run(command: Command, folder) -> int:
    """Run a command with the folder's data for /data, and with what makes it short."""
    words = [
        word.replace("/data", str(folder / "data"), 1) if word.startswith("/data") else word
        for word in command.words[1:]
    ]
    more = next((extra for start, extra in SHORTENED.items() if shlex.join(words).startswith(start)), [])
    try:
        return main([*words, *more])
    except SystemExit as left:
        return int(left.code or 0)


def of_verb(*verbs: str) -> list[Command]:
    return list({each.text: each for each in RUNNABLE if len(each.words) > 1 and each.words[1] in verbs}.values())


@pytest.mark.parametrize(
    "verbs",
    [
        ("configs", "completion", "info", "--help"),
        ("score", "compare"),
        ("generate-programs", "check-programs", "describe-steps"),
        ("study",),
        ("extract-features", "fit"),
    ],
    ids="-".join,
)  # programs are made before they are checked
def test_commands_run_as_they_stand(verbs, workplace, monkeypatch, capfd):
    monkeypatch.chdir(workplace)
    monkeypatch.syspath_prepend(workplace)
    ran = 0
    for verb in verbs:
        for command in of_verb(verb):
            code = run(command, workplace)
            said = capfd.readouterr()
            if command.inline and "arguments are required" in said.err:
                continue  # told in part
            assert code in MAY_END_WITH.get(verb, (0,)), f"{command}\n{said.out[-800:]}\n{said.err[-2000:]}"
            ran += 1
    assert ran


def test_every_command_that_is_to_be_run_is_run():
    covered = {"configs", "completion", "info", "--help", "score", "compare", "generate-programs", "check-programs"}
    covered |= {"describe-steps", "study", "extract-features", "fit", "VERB"}
    assert {each.words[1] for each in RUNNABLE if len(each.words) > 1} <= covered


# --- commands of the trainer are parsed by its own parser ------------------------------------------------------------


class _Only(LeaplanCLI):
    """Builds the parser, and nothing else."""

    def parse_arguments(self, parser, args):
        self.parser = parser
        raise StopIteration


def test_every_command_of_the_trainer_is_understood(workplace, monkeypatch, tmp_path):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.syspath_prepend(workplace)
    builder = _Only.__new__(_Only)
    with pytest.raises(StopIteration):
        builder.__init__(["fit"])
    wanted = {}
    for number, command in enumerate(SHOWN):
        program, *words = command.words
        if program == "make" and "clean" not in words:
            calls = calls_of_make(command, tmp_path / str(number))
        else:
            calls = [] if command.inline and len(words) < 4 else [arguments_of(words, workplace)]
        for call in calls:
            if call and call[0] in TRAINER and not first_line_of_an_experiment(call):
                once_per_seed = re.sub(r"(?<![\w.])[89]\b|(?<=seed)[89]\b", "7", shlex.join(call))
                wanted.setdefault(once_per_seed, (command, call))
    wrong = []
    for command, call in wanted.values():
        try:
            builder.parser.parse_args([word for word in with_files(call) if word != "--print_config"])
        except Exception as error:  # whatever it is, the page is wrong
            wrong.append(f"{command}: {call}\n{error}")
    assert not wrong, "\n".join(wrong)
    assert len(wanted) > 20
    with pytest.raises(ParserRefusal):
        builder.parser.parse_args(["fit", "--config", "configs/experiment/plan_niv_t3.yaml", "--horizn", "4"])


# --- classes of docs/extending.md -------------------------------------------------------------------------------------


def imported(name, workplace, monkeypatch):
    monkeypatch.syspath_prepend(workplace)
    sys.modules.pop(name, None)
    return __import__(name)


def test_a_dataset_of_ones_own_takes_forty_lines():
    page = named_files(REPOSITORY / "docs" / "extending.md")
    assert len(page["workshop.py"].splitlines()) <= 40


def test_the_backbone_of_the_page_learns(workplace, monkeypatch):
    source = imported("frame_by_frame", workplace, monkeypatch).FrameByFrame("resnet10t", pretrained=False)
    vocabulary = Vocabulary((Step("0:0", "take cup", None, 0, 0),), verbs=("take",), nouns=("cup",))
    backbone = source.build(RecognitionProblem(vocabulary, windows=1, rows=2, width=0))
    network = Recogniser(backbone, verbs=3, nouns=2, actions=0)
    backbone.fit(torch.zeros(2, 3, 2, 64, 64))
    clips = torch.randint(0, 256, (4, 1, 3, 2, 64, 64), dtype=torch.uint8)
    seen = network(clips, torch.ones(4, 1, dtype=torch.bool))
    assert seen.verb.shape == (4, 3)
    seen.verb.sum().backward()
    assert all(weight.grad is not None for weight in backbone.parameters())


def test_the_language_model_of_the_page_is_one_that_a_planner_takes(workplace, monkeypatch, tmp_path):
    from leaplan.text.small_llama import SmallLlama

    module = imported("our_llm", workplace, monkeypatch)
    lines = ['["cut wood","sand wood"]', '["sand wood","glue parts"]']
    small = SmallLlama(width=32, layers=1, heads=2, epochs=1, steps=1, cache=str(tmp_path / "cache"))
    small.build(lambda: lines, tmp_path / "model")
    model = module.OurModel(str(tmp_path / "model")).build(lambda: lines, None)
    assert model.identity["name"] == "ours"
    assert model.embed(torch.tensor(model.tokens(lines[0]))).shape[-1] == model.width == 32
    assert any(weight.requires_grad for weight in model.parameters())
