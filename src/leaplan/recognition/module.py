"""The recogniser as Lightning trains and evaluates it: L_AP = L_T + L_PC + L_CE (LEAP, arXiv 2312.00055)."""

from pathlib import Path
from typing import Any, Literal

import torch
from lightning import LightningModule
from torch import Tensor, nn

from leaplan.errors import ConfigError, refused_settings
from leaplan.recognition import recording
from leaplan.recognition.asked_of_data import RecognitionData, SplitClips, recognition_problem
from leaplan.recognition.backbones import BackboneSource
from leaplan.recognition.broken import BrokenVideos
from leaplan.recognition.chain import ChainConsistency
from leaplan.recognition.gathering import RecognitionOutcome
from leaplan.recognition.losses import RecogniserLoss, count_conditions, positive_weights
from leaplan.recognition.metrics import Labels, Scores
from leaplan.recognition.network import Recogniser, Recognition
from leaplan.recognition.outcome import Recognised, figures
from leaplan.recognition.program_head import ProgramLogits
from leaplan.recognition.program_metrics import ProgramMetrics
from leaplan.recognition.window_cache import cached_windows, file_hash
from leaplan.records import RecognitionProblem
from leaplan.training.checkpoints import load_part, refuse_misfit, refuse_other, trainable_state
from leaplan.training.optim import adamw, warmup_cosine

BACKBONE, PROGRAMS = "network.backbone", "network.program"
CHUNK = 4096
SHOWN = 128  # training clips that a backbone without weights is shown before it learns


class RecognitionModule(LightningModule):
    """Train a `Recogniser` on clips, supervised by classes and by programs, and evaluate it.

    Classes, sizes and the programs' vocabulary come from the data and are kept in checkpoints. With clips of one
    window actions are recognised, with clips of several they are anticipated.

    Args:
        backbone: What looks at frames or features.
        action_head: Also classify whole actions. Data sets without verbs and nouns always do.
        context: Of several windows, what actions are anticipated from: features, programs or both.
        start_from: Checkpoint of another run, whose backbone and program head this one begins with.
        freeze: Do not train them any further.
        cached: Look at each window once, before training, and train on what was seen; needs `freeze`.
        learning_rate, weight_decay: Of AdamW.
        backbone_learning_rate: Of the backbone; 0 is `learning_rate`.
        warmup: Share of the steps in which the learning rate rises; a half cosine to zero follows.
        label_smoothing: Of L_CE.
        class_weight: Of each cross-entropy of L_CE (EPIC-KITCHENS' SlowFast: 0.5).
        sub_action_weight: Of L_T.
        condition_weight: Of L_PC.
        chain_weight: Of the chain consistency of predicted programs; 0 leaves it out.
        dropout: Before the classifiers.
        program_width, program_layers: Of the program head.
        window_layers: Of the aggregator of several windows.
        program_dropout, window_dropout: Inside the program head and the aggregator.

    Raises:
        ConfigError: Windows are to be looked at once, by what still learns.
    """

    monitor = "val/selection"

    def __init__(
        self,
        backbone: BackboneSource,
        action_head: bool = True,
        context: Literal["features", "programs", "both"] = "both",
        start_from: str = "",
        freeze: bool = False,
        cached: bool = False,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        backbone_learning_rate: float = 0.0,
        warmup: float = 0.05,
        label_smoothing: float = 0.1,
        class_weight: float = 1.0,
        sub_action_weight: float = 1.0,
        condition_weight: float = 1.0,
        chain_weight: float = 0.0,
        dropout: float = 0.5,
        program_width: int = 256,
        program_layers: int = 2,
        window_layers: int = 2,
        program_dropout: float = 0.1,
        window_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if cached and not freeze:
            raise ConfigError(
                "windows can be looked at once only if what looks at them does not learn",
                "Set --model.freeze true as well",
            )
        self.backbone_source, self.action_head, self.context = backbone, action_head, context
        self.start_from, self.freeze_seen, self.cached = start_from, freeze, cached
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.backbone_learning_rate, self.label_smoothing = backbone_learning_rate, label_smoothing
        self.class_weight, self.sub_action_weight = class_weight, sub_action_weight
        self.condition_weight, self.chain_weight, self.dropout = condition_weight, chain_weight, dropout
        self.program_width, self.program_layers, self.window_layers = program_width, program_layers, window_layers
        self.program_dropout, self.window_dropout = program_dropout, window_dropout
        self.network: Recogniser | None = None
        self.strict_loading = False  # frozen weights are in no checkpoint; `on_load_checkpoint` checks the rest

    @property
    def watch(self) -> tuple[str, ...]:
        """Values to show while training goes on."""
        return ("train/loss", "val/verb_top1", "val/action_top1", "val/s_verb")

    @property
    def data(self) -> RecognitionData:
        """The data module that the trainer holds."""
        data: RecognitionData = self.trainer.datamodule
        return data

    # --- building -----------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Build the network for the data that the trainer holds.

        Raises:
            ConfigError: They are windows to be planned.
        """
        if self.network is None:
            self.build(recognition_problem(self.data), self.data.clips("train"))

    def build(self, problem: RecognitionProblem, training: SplitClips) -> None:
        """Build the network for `problem`, and measure on training clips, if there are any, what is not learnt.

        Raises:
            ConfigError: No network can be built of its settings.
        """
        self.problem = problem
        vocabulary = problem.vocabulary
        named = bool(vocabulary.verbs and vocabulary.nouns)
        with refused_settings("the network"):
            self.network = Recogniser(
                self.backbone_source.build(problem),  # type: ignore[arg-type]
                len(vocabulary.verbs),
                len(vocabulary.nouns),
                len(vocabulary.steps) if self.action_head or not named else 0,
                problem.programs,
                problem.windows,
                self.context,
                self.dropout,
                program_width=self.program_width,
                program_layers=self.program_layers,
                program_dropout=self.program_dropout,
                window_layers=self.window_layers,
                window_dropout=self.window_dropout,
            )
        if len(training):
            self._fit_backbone(training)
        self.loss = self._loss(problem, training)
        if self.start_from:
            parts = (BACKBONE,) if problem.programs is None else (BACKBONE, PROGRAMS)
            known = {key: value for key, value in self.identity.items() if key.startswith("program")}
            load_part(self, Path(self.start_from), parts, known)
        if self.freeze_seen:
            for part in self._frozen():
                part.requires_grad_(False)
            self.train(self.training)

    def _fit_backbone(self, training: SplitClips) -> None:
        """Show the backbone training clips, so that it begins with their mean and scale."""
        assert self.network is not None
        backbone: Any = self.network.backbone
        if self.problem.width:
            backbone.fit(training.seen.features, training.seen.window_mask)
        elif not self.start_from and backbone.loaded is None and self.trainer.state.fn == "fit":
            places = torch.linspace(0, len(training) - 1, min(SHOWN, len(training))).long().tolist()
            samples = [training.seen[place] for place in places]
            backbone.fit(torch.cat([each["clips"][0][each["window_mask"]] for each in samples]))  # (N, 3, T, H, W')

    def _loss(self, problem: RecognitionProblem, training: SplitClips) -> RecogniserLoss:
        weight, chain = None, None
        if problem.programs is not None:
            held, slots = torch.zeros(2, len(problem.programs.conditions)), torch.zeros(())
            for at in torch.arange(len(training)).split(CHUNK) if len(training) else ():
                more = count_conditions(training.labels(at)["program"])
                held, slots = held + more[0], slots + more[1]
            weight = positive_weights(held, slots)
            if self.chain_weight:
                chain = ChainConsistency(problem.programs.conditions, problem.programs.objects)
        return RecogniserLoss(self.label_smoothing, self.loss_weights(), weight, chain)

    def loss_weights(self) -> dict[str, float]:
        """Return the weight of each loss, by the names of `losses.LOSSES`."""
        return {
            **dict.fromkeys(("verb", "noun", "action"), self.class_weight),
            "program": self.sub_action_weight,
            "conditions": self.condition_weight,
            "chain": self.chain_weight,
        }

    def _frozen(self) -> list[nn.Module]:
        assert self.network is not None
        program = self.network.program
        return [self.network.backbone, *([] if program is None else [program])]  # type: ignore[list-item]

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must have been trained for."""
        problem, words = self.problem, self.problem.vocabulary
        programs = problem.programs
        return {
            "windows": problem.windows,
            "rows": problem.rows,
            "feature width": problem.width,
            "verbs": list(words.verbs),
            "nouns": list(words.nouns),
            "actions": [step.name for step in words.steps],
            "program slots": None if programs is None else programs.slots,
            "program verbs": None if programs is None else list(programs.verbs),
            "program objects": None if programs is None else list(programs.objects),
            "program conditions": None if programs is None else list(programs.conditions),
        }

    def configure_optimizers(self) -> Any:
        """AdamW, with a linear rise and a half cosine over all steps."""
        assert self.network is not None
        others: dict[nn.Module, float] = {}
        if self.backbone_learning_rate:
            others[self.network.backbone] = self.backbone_learning_rate  # type: ignore[index]
        optimizer = adamw([self], self.learning_rate, self.weight_decay, others=others)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = warmup_cosine(optimizer, steps, round(self.warmup * steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # --- learning -----------------------------------------------------------------------------------

    def forward(self, clips: Tensor, window_mask: Tensor) -> Recognition:
        """Return logits of `clips` (N, W, ...); nothing else but the mask (N, W) is ever an input."""
        assert self.network is not None
        if not self.cached:
            return self.network(clips, window_mask)
        seen = self.network.unpack(clips[:, :, 0])  # packed windows (N, W, 1, F)
        return Recognition(*self.network.classify(seen, window_mask), None)

    def train(self, mode: bool = True) -> "RecognitionModule":
        """Set the mode; what is frozen keeps its batch statistics and drops nothing."""
        super().train(mode)
        if self.freeze_seen and self.network is not None:
            for part in self._frozen():
                part.eval()
        return self

    def on_fit_start(self) -> None:
        """Look at the windows of training and validation, if each is looked at once."""
        self.broken = BrokenVideos(Path(self.trainer.default_root_dir) / "broken_videos.txt")
        self._look_once(*(split for split in self.data.splits if split != "test"))

    def _look_once(self, *splits: str) -> None:
        if self.cached and self.network is not None:
            for split in splits:
                cached_windows(self.network, self.data, split, Path(self.trainer.default_root_dir), self.device)

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Return L_AP, a scalar; each process scales its part so that their mean is that of the whole batch."""
        self.broken.add(batch["broken"], self.current_epoch)
        seen = self(batch["clips"][:, 0], batch["window_mask"])  # one view
        averages = self.loss(seen, batch)
        processes = self.trainer.world_size
        counts = None
        if processes > 1:
            counts = {name: self._summed(average.count) for name, average in averages.items()}
        loss = self.loss.combine(averages, counts, processes)
        shown = {f"train/{name}": value for name, value in loss.parts.items()} | {"train/loss": loss.total.detach()}
        self.log_dict(shown, on_step=False, on_epoch=True, batch_size=len(batch["index"]), sync_dist=processes > 1)
        total: Tensor = loss.total
        return total

    def _summed(self, count: Tensor) -> Tensor:
        summed: Tensor = self.trainer.strategy.reduce(count.detach().clone().to(self.device), reduce_op="sum")
        return summed

    def on_train_epoch_end(self) -> None:
        """Log how many clips could not be read and were replaced."""
        self.log("train/broken_clips", float(self.broken.count), reduce_fx="sum", sync_dist=self.trainer.world_size > 1)

    # --- evaluation ---------------------------------------------------------------------------------

    def _begin(self, split: str) -> None:
        assert self.network is not None
        if self.trainer.state.fn != "fit":
            self._look_once(split)
        words = self.problem.vocabulary
        heads = self.network.classes
        sizes = (len(words.verbs), len(words.nouns), len(words.steps) if heads.action is not None else 0)
        self.outcome = RecognitionOutcome(*sizes).to(self.device)
        told = self.problem.programs is not None and not self.cached
        self.programs = ProgramMetrics(self.problem.windows).to(self.device) if told else None

    def _evaluate(self, batch: dict[str, Any]) -> None:
        clips, mask = batch["clips"], batch["window_mask"]
        views = clips.shape[1]
        seen = self(clips.flatten(0, 1), mask.repeat_interleave(views, 0))
        scores = Scores(*(None if x is None else x.unflatten(0, (-1, views)) for x in seen[:3]))  # (B, V, C)
        self.outcome.update(batch["index"], Labels(batch["step"], batch["verb"], batch["noun"]), scores)
        if self.programs is not None and seen.program is not None and "program" in batch:
            middle = ProgramLogits(*(x.unflatten(0, (-1, views))[:, views // 2] for x in seen.program))
            program = batch["program"]
            self.programs.update(batch["index"], middle, program, program["valid"] & mask)

    def on_validation_epoch_start(self) -> None:
        """Make room."""
        self._begin("val")

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect scores."""
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the figures that checkpoints are chosen by; record them unless training goes on."""
        outcome, table = self._conclude("val")
        for section in ("recognition", "programs"):
            self.log_dict({f"val/{k}": v for k, v in table.get(section, {}).items() if v is not None})
        recall = table["recall"]["overall_action_mt5r"]
        self.log("val/action_mt5r", recall)
        self.log(self.monitor, table["recognition"]["action_top1"] if self.problem.windows == 1 else recall)
        if self.trainer.state.fn != "fit":
            recording.record(self, "val", outcome, table)

    def on_test_epoch_start(self) -> None:
        """Make room."""
        self._begin("test")

    def test_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect scores."""
        self._evaluate(batch)

    def on_test_epoch_end(self) -> None:
        """Record and print the figures."""
        recording.record(self, "test", *self._conclude("test"))

    def on_predict_epoch_start(self) -> None:
        """Make room."""
        self._begin("test")

    def predict_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect scores."""
        self._evaluate(batch)

    def on_predict_epoch_end(self) -> None:
        """Write the scores; figures are for `test`."""
        outcome, _ = self._conclude("test")
        if self.trainer.is_global_zero:
            print(f"predictions in {recording.write_files(self, 'test', outcome)}", flush=True)

    def _conclude(self, split: str) -> tuple[Recognised, dict[str, dict[str, Any]]]:
        """Gather the scores of all processes, and compute the figures on each, from the same numbers."""
        outcome = self.outcome.gathered()
        self.outcome.reset()
        table = figures(outcome, self.problem.vocabulary, self.data.subsets(split))
        if self.programs is not None:
            scores = {name: float(value) for name, value in self.programs.compute().items()}
            table["programs"] = {name: None if value != value else value for name, value in scores.items()}
            self.programs.reset()
        return outcome, table

    # --- checkpoints --------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep trainable weights only, and say what they were trained for."""
        frozen = {"started from": file_hash(Path(self.start_from))} if self.freeze_seen and self.start_from else {}
        checkpoint["leaplan"] = {"task": "recognition", "for": {**self.identity, **frozen}}
        checkpoint["state_dict"] = trainable_state(self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that was trained for something else.

        Raises:
            CheckpointError: Other classes, programs, sizes, frozen weights or another network; names what differs.
        """
        expected = dict(self.identity)
        if self.freeze_seen and self.start_from:
            expected["started from"] = file_hash(Path(self.start_from))
        refuse_other(checkpoint["leaplan"].get("for", {}), expected, "the checkpoint")
        refuse_misfit(self, checkpoint["state_dict"], "the checkpoint")
