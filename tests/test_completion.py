"""What a shell offers at TAB, asked of a real bash that starts no Python."""

import contextlib
import io
import shutil
import subprocess

import pytest

from leaplan.__main__ import VERBS, main

ASK = """source {script}
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); PATH=/nowhere
_shtab_leaplan leaplan "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"
printf '%s\\n' "${{COMPREPLY[@]}}" """


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["completion", "bash"]) == 0
    path = tmp_path_factory.mktemp("completion") / "leaplan"
    path.write_text(printed.getvalue())
    return path


def offered(script, words: str) -> list[str]:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    command = ["bash", "-c", ASK.format(script=script, words=words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_every_verb_is_offered(script):
    assert set(VERBS) <= set(offered(script, "leaplan ''"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("leaplan gen", "generate-programs"),
        ("leaplan fit --trainer.max_ep", "--trainer.max_epochs"),
        ("leaplan test --ckpt", "--ckpt_path"),
        ("leaplan fit --config plan_synthetic_t", "plan_synthetic_t4"),
        ("leaplan configs co", "copy"),
        ("leaplan configs show leap_recognise_k", "leap_recognise_kitchen"),
        ("leaplan plan --sta", "--start"),
        ("leaplan completion z", "zsh"),
    ],
)
def test_options_names_and_values_are_offered(script, words, expected):
    assert expected in offered(script, words)


def test_an_unknown_shell_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["completion", "ksh"])
    assert "invalid choice: 'ksh'" in capsys.readouterr().err
