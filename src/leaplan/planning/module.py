"""The planner as Lightning trains and evaluates it: losses, decodings, metrics, results."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from leaplan.planning.chain import plans_from_uniforms, uniforms_of_samples
from leaplan.planning.decoding import argmax_plan, transition_counts, transition_log_probabilities, viterbi
from leaplan.planning.losses import plan_loss, step_loss, task_loss
from leaplan.planning.network import Planner, PlannerOutput, TrainingWindows
from leaplan.planning.outcome import Outcome, Plans, figures, print_table, write_predictions
from leaplan.planning.probabilistic import SampledPlanMetrics
from leaplan.planning.recall import SingleSteps
from leaplan.records import PlanningProblem
from leaplan.text.descriptions import NamedSteps, StepDescriptions, content_hash
from leaplan.training.callbacks import Stopwatch
from leaplan.training.checkpoints import refuse_misfit, refuse_other, trainable_state
from leaplan.training.optim import adamw, warmup_cosine
from leaplan.training.results import peak_memory_mb, update_results

NetworkFactory = Callable[[int, int, int, int, int, int], Planner]


class PlanningModule(LightningModule):
    """Train a `Planner` on windows and evaluate its plans.

    Sizes (horizon, classes, feature width) and vocabulary come from the data and are kept in checkpoints,
    so that no setting repeats them.

    Args:
        network: Builds the network from (horizon, classes, tasks, seconds, feature width, text width).
        descriptions: What is known in words about each step class.
        learning_rate, weight_decay: Of AdamW.
        warmup_steps: Linear warm-up; a half cosine to zero follows.
        label_smoothing: Of the step and task cross-entropies.
        focal: γ of the focal step loss; 0 is plain cross-entropy.
        task_weight: Weight of the task loss.
        plan_weight: Weight of the differentiable Viterbi loss: the negative log-likelihood of the true plan under
            emissions and transitions together.
        mixup: Windows are mixed in pairs with shares from Beta(mixup, mixup); 0 leaves them alone.
        smoothing: α added to the transition counts of the training videos.
        samples: Plans drawn per test window for ModePrec, ModeRec, KL and NLL; 0 leaves them out.
        sharpen: Exponent of the step probabilities before they meet the transitions; choose it on validation data.
    """

    monitor = "val/selection"
    watch = ("train/loss", "val/argmax/success_rate", "val/viterbi/success_rate")

    def __init__(
        self,
        network: NetworkFactory = Planner,
        descriptions: StepDescriptions | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        warmup_steps: int = 0,
        label_smoothing: float = 0.1,
        focal: float = 0.0,
        task_weight: float = 1.0,
        plan_weight: float = 0.0,
        mixup: float = 0.0,
        smoothing: float = 1e-6,
        sharpen: float = 1.0,
        samples: int = 1500,
    ) -> None:
        super().__init__()
        self.factory = network
        self.descriptions = descriptions or NamedSteps()
        self.learning_rate, self.weight_decay, self.warmup_steps = learning_rate, weight_decay, warmup_steps
        self.label_smoothing, self.focal = label_smoothing, focal
        self.task_weight, self.plan_weight, self.mixup = task_weight, plan_weight, mixup
        self.smoothing, self.sharpen, self.samples = smoothing, sharpen, samples
        self.network: Planner | None = None

    # --- building -----------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Build the network for the data that the trainer holds."""
        data: Any = self.trainer.datamodule
        if self.network is None:
            self.build(data.problem, data.training_sequences(), data.windows("train"), data.single_steps)

    def build(
        self,
        problem: PlanningProblem,
        sequences: Sequence[Sequence[int]],
        training: TrainingWindows,
        singles: Callable[[], SingleSteps | None],
    ) -> None:
        """Build the network for `problem`, and measure on training data what is not learnt.

        Args:
            problem: Horizon, vocabulary and feature sizes.
            sequences: Step ids of whole training videos, for the transitions.
            training: The training windows.
            singles: Gives the single steps of the training videos.
        """
        self.problem = problem
        y = torch.from_numpy(self.descriptions.embed(problem.vocabulary))  # (N, M, text width)
        vocabulary = problem.vocabulary
        self.network = self.factory(
            problem.horizon,
            len(vocabulary.steps),
            len(vocabulary.tasks),
            problem.seconds,
            problem.width,
            y.shape[-1],
        )
        self.network.fit(training, singles)
        self.register_buffer("y", y, persistent=False)
        counts = transition_counts(sequences, len(vocabulary.steps))
        self.register_buffer("log_transitions", transition_log_probabilities(counts, self.smoothing))
        self.outcome = Outcome(problem.horizon)
        self.identity = {
            "horizon": problem.horizon,
            "seconds": problem.seconds,
            "feature width": problem.width,
            "steps": [step.name for step in vocabulary.steps],
            "tasks": list(vocabulary.tasks),
            "descriptions": content_hash(y.numpy()),
        }

    def configure_optimizers(self) -> Any:
        """AdamW with a half cosine over all steps of the run."""
        optimizer = adamw([self], self.learning_rate, self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = warmup_cosine(optimizer, steps, self.warmup_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # --- learning -----------------------------------------------------------------------------------

    def forward(self, start: Tensor, goal: Tensor) -> PlannerOutput:
        """Return logits from the two observations (B, S, D). Nothing else is ever an input."""
        assert self.network is not None
        output: PlannerOutput = self.network(start, goal, self.y)
        return output

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Return L_SD with the task and plan losses, of windows mixed in pairs where that is switched on."""
        start, goal, steps, task = (batch[name] for name in ("start", "goal", "steps", "task"))
        if self.mixup:
            share = self._shares(len(steps))  # (B,) of each window in its mixture with another
            order = torch.randperm(len(steps), device=steps.device)
            output = self(_mixed(start, start[order], share), _mixed(goal, goal[order], share))
            loss = share * self._loss(output, steps, task) + (1 - share) * self._loss(output, steps[order], task[order])
        else:
            loss = self._loss(self(start, goal), steps, task)  # (R, B)
        total = loss.mean(-1).sum()
        self.log("train/loss", total / len(loss), on_step=False, on_epoch=True, batch_size=len(steps))
        return total

    def _shares(self, count: int) -> Tensor:
        shares = torch.distributions.Beta(self.mixup, self.mixup).sample((count,)).to(self.device)
        return torch.maximum(shares, 1 - shares)

    def _loss(self, output: PlannerOutput, steps: Tensor, task: Tensor) -> Tensor:
        """Return the loss of each reader and window (R, B)."""
        loss = step_loss(output.steps, steps, self.label_smoothing, self.focal)  # Eq. 14
        if output.task.shape[-1]:
            loss = loss + self.task_weight * task_loss(output.task, task, self.label_smoothing)
        if self.plan_weight:
            loss = loss + self.plan_weight * plan_loss(output.steps, steps, self.log_transitions)
        return loss

    # --- evaluation ---------------------------------------------------------------------------------

    def _evaluate(self, batch: dict[str, Any]) -> Tensor:
        """Collect a batch's plans and return the log-probabilities (B, T, N) that they were decoded from."""
        assert self.network is not None
        log_emissions, _ = self.network.log_emissions(batch["start"], batch["goal"], self.y)  # (B, T, N)
        log_emissions = (self.sharpen * log_emissions).log_softmax(-1)
        best, score = viterbi(log_emissions, self.log_transitions)
        plans = {"argmax": argmax_plan(log_emissions), "viterbi": best}
        self.outcome.update(batch["index"], batch["steps"], plans, log_emissions, score)
        return log_emissions

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect plans."""
        self._evaluate(batch)

    def on_test_epoch_start(self) -> None:
        """Prepare the figures of sampled plans, whose references are all windows of the split."""
        references = self._windows("test").steps
        self.sampled = SampledPlanMetrics(references, len(self.problem.vocabulary.steps)).to(self.device)

    def test_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect plans, and draw others from the model."""
        log_emissions = self._evaluate(batch)
        if self.samples:
            steps = batch["steps"]
            draws = uniforms_of_samples(batch["index"], self.samples, steps.shape[1], seed=7)
            drawn = plans_from_uniforms(log_emissions, self.log_transitions, draws)
            self.sampled.update(batch["index"], drawn, steps)

    def predict_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect plans."""
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the figures that checkpoints are chosen by; record them unless training goes on."""
        plans, table = self._conclude("val")
        for decoding in plans.plans:
            names = ("success_rate", "mean_accuracy", "mean_iou")
            self.log_dict({f"val/{decoding}/{name}": table[decoding][name] for name in names})
        chosen = table["viterbi"]  # the larger success rate, and of equal ones the larger mean accuracy
        self.log(self.monitor, chosen["success_rate"] + chosen["mean_accuracy"] / (1 + len(plans.index)))
        if self.trainer.state.fn != "fit":
            self._record("val", plans, table)

    def on_test_epoch_end(self) -> None:
        """Record and print the figures."""
        plans, table = self._conclude("test")
        if self.samples:
            scores = {name: float(value) for name, value in self.sampled.compute().items()}
            table["sampled"] = {"samples": self.samples, **scores}
        self._record("test", plans, table)

    def on_predict_epoch_end(self) -> None:
        """Write the plans; figures are for `test`."""
        plans, _ = self._conclude("test")
        if self.trainer.is_global_zero:
            print(f"predictions in {self._write_plans('test', plans)}", flush=True)

    def _conclude(self, split: str) -> tuple[Plans, dict[str, dict[str, Any]]]:
        """Gather the plans of all processes, and compute the figures on each, from the same numbers."""
        plans = self.outcome.plans()
        self.outcome.reset()
        return plans, figures(plans, self._windows(split).seen_in_training)

    def _record(self, split: str, plans: Plans, table: dict[str, dict[str, Any]]) -> None:
        """Write figures, protocol and plans into the run folder, and print the table."""
        if not self.trainer.is_global_zero:
            return
        self._write_plans(split, plans)
        update_results(self._run(), "planning", self._sections(split, table))
        print_table(split, table)
        print(f"results in {self._run() / 'results.json'}", flush=True)

    def _write_plans(self, split: str, plans: Plans) -> Path:
        path = self._run() / "predictions" / f"{split}.jsonl"
        windows = self._windows(split)
        write_predictions(path, plans, windows.windows, windows.seen_in_training, self.problem.vocabulary)
        return path

    def _windows(self, split: str) -> Any:
        return self.trainer.datamodule.windows(split)

    def _run(self) -> Path:
        return Path(self.trainer.default_root_dir)

    def _sections(self, split: str, table: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Return what `results.json` says about this evaluation."""
        data: Any = self.trainer.datamodule
        parameters = list(self.parameters())
        cost: dict[str, Any] = {
            "parameters": {
                "total": sum(p.numel() for p in parameters),
                "trainable": sum(p.numel() for p in parameters if p.requires_grad),
            },
            "peak_memory_mb": peak_memory_mb(),
        }
        watch = next((c for c in self.trainer.callbacks if isinstance(c, Stopwatch)), None)
        if watch is not None:
            cost["seconds"] = round(watch.seconds, 1)
        return {
            "data": data.facts(),
            "protocol": {
                "horizon": self.problem.horizon,
                "classes": len(self.problem.vocabulary.steps),
                "observes": ["start", "goal"],
                "task_given": False,
                "features": {
                    "dim": self.problem.width,
                    "seconds": self.problem.seconds,
                    **data.source.describe(),
                },
                "descriptions": self.descriptions.identity,
                "learns_from": self.network.learns_from if self.network else [],
                "transitions": {"of": "training part", "smoothing": self.smoothing, "sharpen": self.sharpen},
                "selected_on": "val/viterbi/success_rate, then val/viterbi/mean_accuracy",
                "seed": int(os.environ.get("PL_GLOBAL_SEED", "0")),
            },
            "metrics": {split: table},
            "cost": cost,
        }

    # --- checkpoints --------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep trainable weights only, and say what they were trained for."""
        checkpoint["leaplan"] = {"task": "planning", "for": self.identity}
        checkpoint["state_dict"] = trainable_state(self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that was trained for something else.

        Raises:
            CheckpointError: Another vocabulary, horizon or network; names what differs.
        """
        refuse_other(checkpoint["leaplan"].get("for", {}), self.identity, "the checkpoint")
        refuse_misfit(self, checkpoint["state_dict"], "the checkpoint")


def _mixed(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Return `share` (B,) of `one` and the rest of `other`, both (B, S, D)."""
    return share[:, None, None] * one + (1 - share[:, None, None]) * other
