"""The planner as Lightning trains and evaluates it: losses, decodings, metrics, results."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy

from leaplan.planning.chain import crf_negative_log_likelihood
from leaplan.planning.decoding import argmax_plan, transition_counts, transition_log_probabilities, viterbi
from leaplan.planning.network import Planner, PlannerOutput
from leaplan.planning.outcome import Outcome, Plans, figures, print_table, write_predictions
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
        viterbi_weight: Weight of the differentiable Viterbi loss: the negative log-likelihood of the true
            plan under emissions and transitions together.
        smoothing: α added to the transition counts of the training videos.
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
        viterbi_weight: float = 0.0,
        smoothing: float = 1e-6,
    ) -> None:
        super().__init__()
        self.factory = network
        self.descriptions = descriptions or NamedSteps()
        self.learning_rate, self.weight_decay, self.warmup_steps = learning_rate, weight_decay, warmup_steps
        self.label_smoothing, self.focal = label_smoothing, focal
        self.task_weight, self.viterbi_weight = task_weight, viterbi_weight
        self.smoothing = smoothing
        self.network: Planner | None = None

    # --- building -----------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Build the network for the data that the trainer holds."""
        data: Any = self.trainer.datamodule
        counts = transition_counts(data.training_sequences(), len(data.problem.vocabulary.steps))
        self.build(data.problem, counts, data.feature_statistics())

    def build(self, problem: PlanningProblem, counts: Tensor, statistics: tuple[Tensor, Tensor]) -> None:
        """Build the network for `problem`; a second call does nothing.

        Args:
            problem: Horizon, vocabulary and feature sizes.
            counts: (N, N), how often one step follows another in training.
            statistics: Mean and standard deviation (2, D) of the training observations.
        """
        if self.network is not None:
            return
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
        self.network.states.set_statistics(*statistics)
        self.register_buffer("y", y, persistent=False)
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
        """Return L_SD, with the task and Viterbi losses where they are switched on."""
        output = self(batch["start"], batch["goal"])
        loss = self._step_loss(output.steps, batch["steps"])  # Eq. 14
        if output.task is not None:
            task = cross_entropy(output.task, batch["task"], label_smoothing=self.label_smoothing)
            loss = loss + self.task_weight * task
        if self.viterbi_weight:
            log_emissions = output.steps.log_softmax(-1)
            plan = crf_negative_log_likelihood(log_emissions, self.log_transitions, batch["steps"]).mean()
            loss = loss + self.viterbi_weight * plan
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["steps"]))
        return loss

    def _step_loss(self, logits: Tensor, steps: Tensor) -> Tensor:
        each = cross_entropy(
            logits.flatten(0, 1), steps.flatten(), label_smoothing=self.label_smoothing, reduction="none"
        )  # (B T,)
        if self.focal:
            certainty = torch.exp(-cross_entropy(logits.detach().flatten(0, 1), steps.flatten(), reduction="none"))
            each = (1 - certainty) ** self.focal * each
        return each.mean()

    # --- evaluation ---------------------------------------------------------------------------------

    def _evaluate(self, batch: dict[str, Any]) -> None:
        output = self(batch["start"], batch["goal"])
        log_emissions = output.steps.log_softmax(-1)  # (B, T, N)
        best, score = viterbi(log_emissions, self.log_transitions)
        plans = {"argmax": argmax_plan(log_emissions), "viterbi": best}
        self.outcome.update(batch["index"], batch["steps"], plans, log_emissions, score)

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect plans."""
        self._evaluate(batch)

    def test_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect plans."""
        self._evaluate(batch)

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
        self._record("test", *self._conclude("test"))

    def on_predict_epoch_end(self) -> None:
        """Write the plans; figures are for `test`."""
        plans, _ = self._conclude("test")
        if self.trainer.is_global_zero:
            print(f"predictions in {self._write_plans('test', plans)}", flush=True)

    def _conclude(self, split: str) -> tuple[Plans, dict[str, dict[str, Any]]]:
        """Gather the plans of all processes, and compute the figures on each, from the same numbers."""
        plans = self.outcome.compute()
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
