"""The Trainer verbs: fit, validate, test, predict. `fit` continues a run that was cut off, and ends with results."""

import logging
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import torch
import yaml
from lightning import LightningModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException

from leaplan.config_errors import explain
from leaplan.data.datamodule import VideoDataModule
from leaplan.errors import ConfigError, UserError, refused_settings
from leaplan.planning.module import Decoding
from leaplan.shipped_configs import with_files
from leaplan.training.callbacks import EpochProgress, EpochSeed, EpochTable, Stopwatch, keep_best_and_last
from leaplan.training.checkpoints import read_checkpoint
from leaplan.training.requeue import STOPPED, Requeue
from leaplan.training.results import read_results

if TYPE_CHECKING:
    from leaplan.planning.asked_of_data import PlanningData
    from leaplan.recognition.asked_of_data import RecognitionData

    def _answers(data: VideoDataModule) -> tuple[PlanningData, RecognitionData]:  # mypy holds one against the others
        return data, data


FREE_TO_CHANGE = (
    *("overwrite", "final", "finished", "ckpt_path", "weights_only", "runs", "root", "threads", "decode"),
    *("save_every", "grace"),
    *("trainer.accelerator", "trainer.strategy", "trainer.logger", "trainer.callbacks", "trainer.profiler"),
)
"""Settings in which the second start of a run may differ from the first: where it runs, not what it learns."""

LEAST = {"batch_size": 1, "threads": 0, "trainer.accumulate_grad_batches": 1, "trainer.check_val_every_n_epoch": 1}
"""The least value of settings that nobody else refuses before something divides by them."""


VERBS = ("fit", "validate", "test", "predict")
USAGE = "leaplan {} --config EXPERIMENT.yaml [--KEY VALUE ...]"
EXAMPLE = "example: leaplan {} --config configs/experiment/plan_synthetic_t3.yaml --horizon 4 --name longer"


class ParserRefusal(Exception):
    """What the argument parser objects to, in its own words."""

    def __init__(self, message: str, parser: LightningArgumentParser) -> None:
        super().__init__(message)
        self.message, self.parser = message, parser


class FinishedRun(Exception):
    """There is nothing to do."""


class StoppedRun(Exception):
    """There is more to do, but not now."""


class LeaplanParser(LightningArgumentParser):
    """A parser that raises instead of printing the usage of a hundred options."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `ParserRefusal`."""
        raise ParserRefusal(message, self)


class LeaplanCLI(LightningCLI):
    """Trainer verbs over any dataset and model, with one folder per run."""

    def __init__(self, args: list[str]) -> None:
        self.run_folder = Path()
        super().__init__(
            LightningModule,
            VideoDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=7,
            parser_class=LeaplanParser,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={verb: {"usage": USAGE.format(verb), "epilog": EXAMPLE.format(verb)} for verb in VERBS},
            trainer_defaults={
                "use_distributed_sampler": False,  # it pads evaluation; our own does not
                "num_sanity_val_steps": 0,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "logger": False,
            },
            args=args,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Resolve interpolations after all files are merged."""
        return super().init_parser(parser_mode="omegaconf+", **kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what belongs to a run as a whole, and link what must agree."""
        parser.add_argument("--name", type=str, default="run", help="Name of the run, and of its folder.")
        parser.add_argument("--runs", type=str, default="runs", help="Folder of all runs.")
        parser.add_argument("--root", type=str, default="data", help="Folder that holds the dataset.")
        parser.add_argument("--horizon", type=int, default=3, help="T, number of steps to plan.")
        parser.add_argument("--batch_size", type=int, default=32, help="Samples per batch and process.")
        parser.add_argument(
            "--threads", type=int, default=0, help="CPU threads of torch; 0 leaves it to torch. Small nets: 1."
        )
        parser.add_argument("--save_every", type=int, default=5, help="Epochs between checkpoints to continue from.")
        parser.add_argument("--grace", type=float, default=90.0, help="Seconds for the epoch to end after SIGUSR1.")
        parser.add_argument("--overwrite", type=bool, default=False, help="Train a finished run again.")
        parser.add_argument(
            "--finished",
            type=Literal["refuse", "skip"],
            default="refuse",
            help="What `fit` does about a finished run of this name: an error, or nothing.",
        )
        parser.add_argument(
            "--final",
            type=Literal["test", "val", "none"],
            default="test",
            help="Split that the best checkpoint is evaluated on after `fit`. Use val while choosing settings.",
        )
        parser.add_argument(
            "--decode",
            type=list[Decoding] | Decoding,
            default=["argmax", "viterbi"],
            help="How `validate` and `test` read plans off the planner: one of "
            "argmax, viterbi, generate, trie, retrieve, or a list of them.",
        )
        parser.link_arguments("decode", "model.init_args.decode")
        parser.link_arguments("root", "data.init_args.root")
        parser.link_arguments("batch_size", "data.init_args.batch_size")
        parser.link_arguments("horizon", "data.init_args.view.init_args.horizon")

    def _set_seed(self) -> None:
        """Refuse a seed that the random generators do not take."""
        with refused_settings("the random numbers"):
            super()._set_seed()

    def _parse_ckpt_path(self) -> None:
        """Leave the settings alone: our checkpoints hold none, and the command line must win."""

    def before_instantiate_classes(self) -> None:
        """Decide what happens to the run folder before anything heavy is built.

        Raises:
            ConfigError: The run is finished, was begun with other settings, or cannot be trained with these.
            FinishedRun: It is finished, and that is to be skipped.
        """
        self.settings = self.config[self.subcommand]
        for key, least in LEAST.items():
            if (count := self.settings[key]) is not None and count < least:
                raise ConfigError(f"'{key}' is {count}, below {least}", f"Set --{key}")
        self.run_folder = Path(self.settings.runs) / self.settings.name
        self.requeue = Requeue(self.settings.grace)
        if self.subcommand == "fit":
            self._prepare_run()
            self.requeue.watch()
        elif self.settings.get("ckpt_path") is None:
            self.settings["ckpt_path"] = str(self.run_folder / "checkpoints" / "best.ckpt")
        if self.settings.get("ckpt_path") is not None:
            read_checkpoint(Path(self.settings["ckpt_path"]))
            self._bring_language_model(Path(self.settings["ckpt_path"]))
        self.settings["weights_only"] = True
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)

    @rank_zero_only
    def _bring_language_model(self, checkpoint: Path) -> None:
        """Copy the small language model of another run, that its checkpoint was trained with, into this run."""
        theirs = checkpoint.resolve().parent.parent / "language_model"
        ours = self.run_folder / "language_model"
        if theirs.is_dir() and not ours.exists():
            shutil.copytree(theirs, ours)

    def _prepare_run(self) -> None:
        """Refuse to touch a finished run, clear an overwritten one, find where a cut-off one stopped."""
        last = self.run_folder / "checkpoints" / "last.ckpt"
        asked = "test" if self.settings.final == "test" else "val"
        if self.settings.overwrite:
            self._clear()
        elif asked in read_results(self.run_folder).get("metrics", {}):
            if self.settings.finished == "skip":
                raise FinishedRun(f"{self.run_folder} is finished; its results are in {self.run_folder}/results.json")
            raise ConfigError(
                f"{self.run_folder} holds a finished run; its results are in {self.run_folder}/results.json",
                "Train it again with --overwrite true, or choose another --name",
            )
        elif last.is_file() and self.settings.get("ckpt_path") is None:
            self._refuse_changed_settings()
            self.settings["ckpt_path"] = str(last)
            rank_zero_only(print)(f"continuing {self.run_folder} from its last checkpoint", flush=True)
        self._save_config()

    @rank_zero_only
    def _clear(self) -> None:
        if (self.run_folder / "config.yaml").is_file():  # a folder that is not a run is never removed
            shutil.rmtree(self.run_folder)

    def _config(self) -> dict[str, Any]:
        parser = self._parser(self.subcommand)
        return dict(yaml.safe_load(parser.dump(self.settings, skip_unset=False)))

    @rank_zero_only
    def _save_config(self) -> None:
        text = yaml.safe_dump(self._config(), sort_keys=False)
        try:
            self.run_folder.mkdir(parents=True, exist_ok=True)
            (self.run_folder / "config.yaml").write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{self.run_folder} cannot be written: {error.strerror}", "Set --runs") from error

    def _refuse_changed_settings(self) -> None:
        path = self.run_folder / "config.yaml"
        if not path.is_file():
            return
        free = tuple(f"{name}." for name in FREE_TO_CHANGE)
        before, now = (
            {key: value for key, value in flat(config).items() if not f"{key}.".startswith(free)}
            for config in (yaml.safe_load(path.read_text(encoding="utf-8")), self._config())
        )
        changed = [f"{k}: {before.get(k)} -> {now.get(k)}" for k in now if before.get(k) != now.get(k)]
        if changed:
            raise ConfigError(
                f"{self.run_folder} holds an unfinished run with other settings: " + ", ".join(changed[:6]),
                "Choose another --name, or start it anew with --overwrite true",
            )

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Point the trainer at the run folder and add what every run needs.

        Raises:
            ConfigError: A validation split is to be evaluated on, but there is none.
        """
        kwargs["default_root_dir"] = str(self.run_folder)
        if self.subcommand == "fit":
            given = self._get(self.config_init, "trainer")
            kwargs["logger"] = given["logger"] or TensorBoardLogger(str(self.run_folder), name="", version="")
            kwargs["callbacks"] = [
                self.requeue,  # processes agree before the first one reads what was logged, which they add up together
                *(given["callbacks"] or []),
                EpochSeed(self.settings.seed_everything),
                EpochTable(self.run_folder / "metrics.csv"),
                EpochProgress(self.model.watch),
                Stopwatch(),
                *keep_best_and_last(self.run_folder / "checkpoints", self._monitor(), self.settings.save_every),
            ]
        return super().instantiate_trainer(**kwargs)

    def _monitor(self) -> str:
        """Return what the best checkpoint is chosen by, "" where no data are set aside to choose on."""
        if "val" in self.datamodule.splits:
            return str(self.model.monitor)
        if self.settings.final == "val":
            raise ConfigError("there are no validation data to evaluate on", "Set --data.validation, or --final test")
        return ""

    def after_fit(self) -> None:
        """Evaluate the best checkpoint, on validation data and then once on the final split.

        Raises:
            StoppedRun: A signal has ended training early.
            ConfigError: The trainer's limits left nothing to train.
        """
        if self.requeue.stopped:
            self.requeue.queue()
            epochs = f"{self.trainer.current_epoch} of {self.trainer.max_epochs} epochs"
            raise StoppedRun(f"{self.run_folder} has stopped after {epochs}; the same command continues")
        best = str(self.run_folder / "checkpoints" / "best.ckpt")
        if not self.trainer.global_step:
            raise ConfigError(f"{self.run_folder} was not trained: no step was to be made", "Set --trainer.max_epochs")
        if self.settings.final != "none" and "val" in self.datamodule.splits:
            self.trainer.validate(self.model, self.datamodule, ckpt_path=best, verbose=False, weights_only=True)
        if self.settings.final == "test":
            self.trainer.test(self.model, self.datamodule, ckpt_path=best, verbose=False, weights_only=True)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        kwargs["ckpt_path"] = self.settings.get("ckpt_path")
        kwargs["weights_only"] = True
        return {**kwargs, "verbose": False} if subcommand in ("validate", "test") else kwargs


class _Parsers(Exception):
    """The parsers of all verbs, which is all that is wanted."""


class _ParsersOnly(LeaplanCLI):
    """The command line up to its parsers."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> NoReturn:
        """Raise `_Parsers`."""
        raise _Parsers(self._subcommand_parsers)


def parsers() -> dict[str, LightningArgumentParser]:
    """Return the parser of each Trainer verb, for those who want to know its options."""
    try:
        _ParsersOnly([])
    except _Parsers as found:
        return dict(found.args[0])
    raise AssertionError("the command line did not parse")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping of dotted keys."""
    items: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            items.update(flat(value, f"{prefix}{key}."))
        else:
            items[f"{prefix}{key}"] = value
    return items


def main(args: list[str]) -> int:
    """Run a Trainer verb.

    Raises:
        UserError: Settings, data or a checkpoint that cannot be used, whoever found it.
    """
    quiet()
    args = with_files(args)
    tell_other_nodes()
    try:
        LeaplanCLI(args)
    except FinishedRun as finished:
        print(finished, flush=True)
    except StoppedRun as stopped:
        rank_zero_only(print)(stopped, flush=True)
        return STOPPED if rank_zero_only.rank == 0 else 0  # Lightning kills the others if one of them fails
    except SIGTERMException:
        rank_zero_only(print)("leaplan: terminated; run the same command again to continue", file=sys.stderr)
        return 128 + signal.SIGTERM
    except ParserRefusal as refusal:
        raise ConfigError(*explain(refusal.message, refusal.parser, args)) from refusal
    except MisconfigurationException as error:
        raise ConfigError(f"the trainer cannot run like this: {error}", "Mend the trainer's settings") from error
    except Exception as error:
        mistake = users_mistake(error) or other_process(error)  # the parser wraps what a constructor says
        if mistake is None:
            raise
        raise mistake from error
    return 0


def tell_other_nodes() -> None:
    """Keep the processes that a user starts on other nodes from writing to the run folder and speaking.

    Lightning counts NODE_RANK only once it has a trainer, and takes each of them for the first process until then.
    """
    known = any(name in os.environ for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    if os.environ.get("NODE_RANK", "0") != "0" and not known:
        rank_zero_only.rank = 1


def users_mistake(error: BaseException | None) -> UserError | None:
    """Return the first `UserError` among `error` and its causes."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def other_process(error: BaseException) -> UserError | None:
    """Return what to say where a collective failed because another process of this run has ended."""
    if not torch.distributed.is_initialized():
        return None
    lost = isinstance(error, torch.distributed.DistBackendError) or "closed by peer" in str(error).lower()
    what = "another process of this run ended before this one"
    return UserError(what, "Its message tells why; training continues with the same command") if lost else None


def quiet() -> None:
    """Silence advice of the libraries that does not apply here; errors and our own words remain."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars of the libraries; ours are drawn by rich
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*LightningCLI's args parameter.*",
        ".*callbacks used to create the checkpoint.*",
        ".*predict returned None.*",
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*sync_dist=True.*",
        ".*is_gradient_checkpointing.*",
        ".*number of training batches.*",
        ".*Total length of .list. across ranks is zero.*",
        ".*in eval mode at the start.*",
        ".*LeafSpec.*",
        ".*isinstance.treespec.*",
        ".*returned a view tensor.*",
    ):
        warnings.filterwarnings("ignore", message=message)
