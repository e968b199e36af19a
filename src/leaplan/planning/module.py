"""The planner as Lightning trains and evaluates it: stages, losses, decodings (PlanLLM, Eq. 15)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import LightningModule
from torch import Tensor

from leaplan.errors import refused_settings
from leaplan.planning import recording
from leaplan.planning.asked_of_data import PlanningData, planning_problem
from leaplan.planning.assembly import free_form, identity, language_parts
from leaplan.planning.attentive import PlannerOutput
from leaplan.planning.calibration import calibrate
from leaplan.planning.captions import label_texts
from leaplan.planning.chain import plans_from_uniforms, uniforms_of_samples
from leaplan.planning.decoding import transition_counts, transition_log_probabilities
from leaplan.planning.freeform import Writing, refuse_impossible
from leaplan.planning.language import LanguageParts
from leaplan.planning.losses import PlannerLoss
from leaplan.planning.network import Mixture, Planner, TrainingWindows
from leaplan.planning.outcome import Emissions, Outcome, Plans, figures
from leaplan.planning.plan_decoder import CLOSED_SET, PlanDecoder
from leaplan.planning.probabilistic import SampledPlanMetrics
from leaplan.planning.recall import SingleSteps
from leaplan.planning.validation_loss import alignment_loss
from leaplan.records import PlanningProblem
from leaplan.text.causal import LanguageSource
from leaplan.text.descriptions import NamedSteps, StepDescriptions
from leaplan.training.checkpoints import load_part, refuse_misfit, refuse_other, trainable_state
from leaplan.training.optim import adamw, warmup_cosine
from leaplan.training.sharding import gather_weights, scatter_weights, shard

NetworkFactory = Callable[[int, int, int, int, int, int, LanguageParts | None], Planner]
Decoding = Literal["argmax", "viterbi", "generate", "trie", "retrieve"]
ALTERNATIVES = 5  # plans with probabilities per window, in predictions
ENTRANCES = ("learn", "learn_directly", "align")  # into the network while it trains
FIRST_STAGE = ("network.observe", "network.attend.states", "network.attend.queries", "network.attend.alignment")


class PlanningModule(LightningModule):
    """Train a `Planner` on windows, in two stages, and evaluate its plans.

    Sizes (horizon, classes, feature width) and vocabulary come from the data and are kept in checkpoints,
    so that no setting repeats them. The first stage learns from L_MIM alone, the second from
    L = L_MIM + L_ASC + L_SD (Eq. 15).

    Args:
        network: Builds the network from (horizon, classes, tasks, seconds, feature width, text width, language).
        descriptions: What is known in words about each step class.
        language: A causal language model; None plans without one.
        prompt: What it is asked: a file, or the name of a prompt that comes with leaplan.
        align_epochs: Epochs of the first stage, out of `trainer.max_epochs`.
        aligned_from: Checkpoint of a first stage to start from, instead of `align_epochs`.
        learning_rate, weight_decay: Of AdamW.
        query_learning_rate: Of the Q-Former; 0 is `learning_rate`.
        language_learning_rate: Of the language model's weights that learn; 0 is `learning_rate`.
        warmup_steps: Linear warm-up of each stage; a half cosine to zero follows.
        label_smoothing: Of the step and task cross-entropies.
        focal: γ of the focal step loss; 0 is plain cross-entropy.
        step_weight: Weight of L_SD, the step cross-entropy.
        alignment_weight: Weight of L_MIM.
        similarity_weight: Weight of the cross-entropy of step queries against the descriptions of all labels.
        caption_weight: Weight of L_ASC.
        task_weight: Weight of the task loss.
        plan_weight: Weight of the differentiable Viterbi loss: the negative log-likelihood of the true plan under
            emissions and transitions together.
        mixup: Direct readers see windows mixed in pairs with shares from Beta(mixup, mixup); 0 leaves them alone.
        smoothing: α added to the transition counts of the training videos.
        samples: Plans drawn per test window for ModePrec, ModeRec, KL and NLL; 0 leaves them out.
        sharpen: Exponent of the step probabilities before they meet the transitions; choose it on validation data.
        decode: How plans are read off in `validate` and `test`: one or several of argmax, viterbi, generate (write
            freely, find the nearest labels), trie (the likeliest caption made of labels), retrieve (the labels whose
            descriptions are nearest to the step queries).
        select: The decoding whose success rate on validation data chooses the checkpoint; of several, their mean.
        writing: How the language model writes.
    """

    monitor = "val/selection"

    def __init__(
        self,
        network: NetworkFactory = Planner,
        descriptions: StepDescriptions | None = None,
        language: LanguageSource | None = None,
        prompt: str = "plan_short",
        align_epochs: int = 0,
        aligned_from: str = "",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        query_learning_rate: float = 0.0,
        language_learning_rate: float = 0.0,
        warmup_steps: int = 0,
        label_smoothing: float = 0.1,
        focal: float = 0.0,
        step_weight: float = 1.0,
        alignment_weight: float = 1.0,
        similarity_weight: float = 1.0,
        caption_weight: float = 1.0,
        task_weight: float = 1.0,
        plan_weight: float = 0.0,
        mixup: float = 0.0,
        smoothing: float = 1e-6,
        sharpen: float = 1.0,
        samples: int = 1500,
        decode: list[Decoding] | Decoding = ["argmax", "viterbi"],  # noqa: B006, it is only read
        select: list[Decoding] | Decoding = "viterbi",
        writing: Writing | None = None,
    ) -> None:
        super().__init__()
        self.factory = network
        self.descriptions = descriptions or NamedSteps()
        self.language_source, self.prompt = language, prompt
        self.align_epochs, self.aligned_from = align_epochs, aligned_from
        self.learning_rate, self.weight_decay, self.warmup_steps = learning_rate, weight_decay, warmup_steps
        self.query_learning_rate, self.language_learning_rate = query_learning_rate, language_learning_rate
        self.loss = PlannerLoss(
            label_smoothing,
            focal,
            step=step_weight,
            task=task_weight,
            plan=plan_weight,
            alignment=alignment_weight,
            similarity=similarity_weight,
            caption=caption_weight,
        )
        self.mixup = mixup
        self.smoothing, self.sharpen, self.samples = smoothing, sharpen, samples
        self.decode, self.select = ([x] if isinstance(x, str) else list(dict.fromkeys(x)) for x in (decode, select))
        self.writing = writing or Writing()
        self.network: Planner | None = None
        self.strict_loading = False  # frozen weights are in no checkpoint; `on_load_checkpoint` checks the rest

    @property
    def watch(self) -> tuple[str, ...]:
        """Values to show while training goes on."""
        shown = [f"val/{name}/success_rate" for name in dict.fromkeys([*CLOSED_SET, *self.select])]
        return ("train/loss", "val/alignment_loss", *shown)

    @property
    def data(self) -> PlanningData:
        """The data module that the trainer holds."""
        data: PlanningData = self.trainer.datamodule
        return data

    # --- building -----------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Build the network for the data that the trainer holds.

        Raises:
            ConfigError: They are clips.
        """
        if self.network is None:
            data = self.data
            self.build(
                planning_problem(data),
                data.training_sequences(),
                data.windows("train"),
                data.single_steps,
                Path(self.trainer.default_root_dir),
            )
            if self.device_mesh is not None:  # the strategy asks for it
                shard(self.network, ENTRANCES, self.device_mesh["data_parallel"])

    def build(
        self,
        problem: PlanningProblem,
        sequences: Sequence[Sequence[int]],
        training: TrainingWindows | None,
        singles: Callable[[], SingleSteps | None],
        folder: Path | None = None,
    ) -> None:
        """Build the network for `problem`, and measure on training data what is not learnt.

        Args:
            problem: Horizon, vocabulary and feature sizes.
            sequences: Step ids of whole training videos, for the transitions.
            training: The training windows; None measures nothing, for weights that are loaded next.
            singles: Gives the single steps of the training videos.
            folder: Run folder, where a small language model is kept; None keeps it nowhere.

        Raises:
            ConfigError: No network can be built of its settings.
        """
        self.problem = problem
        y = torch.from_numpy(self.descriptions.embed(problem.vocabulary))  # (N, M, text width)
        vocabulary = problem.vocabulary
        language = language_parts(self.language_source, self.prompt, problem, sequences, folder)
        sizes = (problem.horizon, len(vocabulary.steps), len(vocabulary.tasks), problem.seconds, problem.width)
        with refused_settings("the network"):
            self.network = self.factory(*sizes, y.shape[-1], language)
        if training is not None:
            self.network.fit(training, singles)
        self.register_buffer("y", y, persistent=False)
        counts = transition_counts(sequences, len(vocabulary.steps))
        self.register_buffer("log_transitions", transition_log_probabilities(counts, self.smoothing))
        self.identity = identity(problem, y.numpy(), language)
        reader = self.network.attend
        if reader is not None and reader.language is not None:
            reader.language.refuse_long_captions()
        refuse_impossible([*self.decode, *self.select], reader)
        if self.aligned_from:
            load_part(self, Path(self.aligned_from), FIRST_STAGE, self._aligned_identity())

    def _aligned_identity(self) -> dict[str, Any]:
        """What a first stage must have in common with this run."""
        return {key: value for key, value in self.identity.items() if key != "language model"}

    def configure_optimizers(self) -> Any:
        """AdamW, with a half cosine over the steps of each stage."""
        assert self.network is not None
        others, reader = {}, self.network.attend
        if reader is not None and reader.queries is not None and self.query_learning_rate:
            others[reader.queries] = self.query_learning_rate
        if reader is not None and reader.language is not None and self.language_learning_rate:
            others[reader.language.model] = self.language_learning_rate
        optimizer = adamw([self], self.learning_rate, self.weight_decay, others=others)
        steps = int(self.trainer.estimated_stepping_batches)
        first = round(steps * min(1.0, self.align_epochs / max(1, self.trainer.max_epochs or 1)))
        schedule = warmup_cosine(optimizer, steps, self.warmup_steps, first)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # --- learning -----------------------------------------------------------------------------------

    @property
    def aligning(self) -> bool:
        """Whether this is the first stage, which learns from L_MIM alone."""
        return self.trainer.state.fn == "fit" and self.current_epoch < self.align_epochs

    def forward(self, start: Tensor, goal: Tensor) -> PlannerOutput:
        """Return logits from the two observations (B, S, D). Nothing else is ever an input."""
        assert self.network is not None
        output: PlannerOutput = self.network(start, goal, self.y)
        return output

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Return the loss of this stage."""
        assert self.network is not None
        start, goal, steps, task = (batch[name] for name in ("start", "goal", "steps", "task"))
        if self.aligning:
            loss = self.network.align(start, goal, self.y, steps).sum() + self._untouched()  # Eq. 8
        else:
            loss = self._second_stage(start, goal, steps, task)
        together = self.trainer.world_size > 1
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(steps), sync_dist=together)
        return loss

    def _untouched(self) -> Tensor | float:
        """Return 0, with what the first stage leaves alone in its graph: processes wait for all gradients."""
        waited_for = self.trainer.world_size > 1 and self.device_mesh is None
        return sum(0.0 * p.sum() for p in self._later_parameters()) if waited_for else 0.0

    def _later_parameters(self) -> list[Tensor]:
        """Return the parameters that only the second stage trains."""
        dots = tuple(f"{part}." for part in FIRST_STAGE)
        return [p for name, p in self.named_parameters() if p.requires_grad and not name.startswith(dots)]

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Keep weight decay away from what the first stage leaves alone."""
        if self.aligning:
            for parameter in self._later_parameters():
                parameter.grad = None

    def _second_stage(self, start: Tensor, goal: Tensor, steps: Tensor, task: Tensor) -> Tensor:
        """Return L = L_MIM + L_ASC + L_SD (Eq. 15) and the losses of the direct readers."""
        assert self.network is not None
        total, truth = start.new_zeros(()), (steps, task, self.log_transitions)
        lesson = self.network.learn(start, goal, self.y, steps)
        if lesson is not None:
            total = total + self.loss.of_lesson(lesson, *truth)
        mixture = self._mixture(steps) if self.mixup else None
        direct = self.network.learn_directly(start, goal, mixture)
        if direct is not None:
            total = total + self.loss.of_direct(direct, mixture, *truth)
        return total

    def _mixture(self, steps: Tensor) -> Mixture:
        shares = torch.distributions.Beta(self.mixup, self.mixup).sample((len(steps),)).to(self.device)
        return Mixture(torch.maximum(shares, 1 - shares), torch.randperm(len(steps), device=steps.device))

    # --- evaluation ---------------------------------------------------------------------------------

    def begin_split(self) -> None:
        """Make room for the plans of a split. While training goes on, only what selection needs is decoded."""
        assert self.network is not None
        gather_weights(self.network)
        verb = self.trainer.state.fn
        final = verb != "fit"
        known = self.problem.vocabulary
        self.target = self.data.target_vocabulary if verb in ("test", "predict") else known
        decodings = self.decode if final else list(dict.fromkeys([*CLOSED_SET, *self.select]))
        if label_texts(self.target) != label_texts(known):  # the classifier knows the classes of training only
            decodings = [name for name in decodings if name not in CLOSED_SET]
        closed_set = bool(set(CLOSED_SET) & set(decodings))
        freeform = free_form(self.descriptions, self.target, self.problem.horizon, self.writing).to(self.device)
        alternatives = ALTERNATIVES if final and closed_set else 0
        closed_set_parts = self.network, self.y, self.log_transitions, self.sharpen
        exponent = recording.fitted_exponent(self._evaluated_run())
        self.decoder = PlanDecoder(*closed_set_parts, freeform, decodings, alternatives, exponent)
        reader = self.network.attend
        words = freeform.longest(reader) if reader is not None and "generate" in decodings else 0
        sizes = self.problem.horizon, len(self.target.steps)
        self.outcome = Outcome(sizes[0], decodings, words=words, alternatives=alternatives).to(self.device)
        keeps = closed_set and verb == "validate"
        self.emissions = Emissions(*sizes).to(self.device) if keeps else None

    def _evaluated_run(self) -> Path:
        """Return the folder of the run whose checkpoint is evaluated."""
        checkpoint = self.trainer.ckpt_path
        return Path(checkpoint).parent.parent if checkpoint else Path(self.trainer.default_root_dir)

    def _evaluate(self, batch: dict[str, Any]) -> Tensor:
        """Collect a batch's plans and return the log-probabilities (B, T, N) that they were decoded from."""
        answers = self.decoder(batch["start"], batch["goal"])
        self.outcome.update(batch["index"], batch["steps"], answers)
        if self.emissions is not None and answers.plain is not None:
            self.emissions.update(batch["index"], answers.plain)
        return answers.log_emissions

    def on_validation_epoch_start(self) -> None:
        """Make room."""
        self.begin_split()

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect plans, after the first stage."""
        if not self.aligning:
            self._evaluate(batch)

    def on_test_epoch_start(self) -> None:
        """Make room, and prepare the figures of sampled plans, whose references are all windows of the split."""
        self.begin_split()
        references = self.data.windows("test").steps
        self.sampled = SampledPlanMetrics(references, len(self.target.steps)).to(self.device)

    def test_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect plans, and draw others from the model."""
        log_emissions = self._evaluate(batch)
        if self._draws:
            steps = batch["steps"]
            draws = uniforms_of_samples(batch["index"], self.samples, steps.shape[1], seed=7)
            drawn = plans_from_uniforms(log_emissions, self.log_transitions, draws)
            self.sampled.update(batch["index"], drawn, steps)

    @property
    def _draws(self) -> bool:
        return self.samples > 0 and "viterbi" in self.decoder.decodings

    def on_predict_epoch_start(self) -> None:
        """Make room."""
        self.begin_split()

    def predict_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Collect plans."""
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the figures that checkpoints are chosen by; record them unless training goes on."""
        assert self.network is not None
        if self.trainer.state.fn == "fit" and self.align_epochs:
            loss = alignment_loss(self, self.data.windows("val"))
            self.log("val/alignment_loss", loss)
        if self.aligning:  # any epoch of the second stage is better than all of the first
            scatter_weights(self.network)
            self.log(self.monitor, -loss)
            return
        plans, table = self._conclude("val")
        for decoding in plans.plans:
            names = ("success_rate", "mean_accuracy", "mean_iou")
            self.log_dict({f"val/{decoding}/{name}": table[decoding][name] for name in names})
        if self.trainer.state.fn == "fit":
            success, accuracy = (
                sum(table[name][figure] for name in self.select) / len(self.select)
                for figure in ("success_rate", "mean_accuracy")
            )  # the larger success rate, and of equal ones the larger mean accuracy
            self.log(self.monitor, success + accuracy / (1 + len(self.select) * len(plans.index)))
        else:
            if self.emissions is not None:
                table["calibration"] = self._calibrate(plans)
            recording.record(self, "val", plans, table)

    def _calibrate(self, plans: Plans) -> dict[str, Any]:
        """Fit the exponent that makes the true plans likeliest, and say how honest probabilities are with it."""
        assert self.emissions is not None
        plain, best = self.emissions.gathered(), plans.plans["viterbi"]  # (M, T, N), (M, T)
        return calibrate(plain, self.log_transitions.cpu(), plans.steps, best, self.sharpen)

    def on_test_epoch_end(self) -> None:
        """Record and print the figures."""
        plans, table = self._conclude("test")
        if self._draws:
            scores = {name: float(value) for name, value in self.sampled.compute().items()}
            table["sampled"] = {"samples": self.samples, **scores}
        recording.record(self, "test", plans, table)

    def on_predict_epoch_end(self) -> None:
        """Write the plans; figures are for `test`."""
        plans, _ = self._conclude("test")
        if self.trainer.is_global_zero:
            print(f"predictions in {recording.write_plans(self, 'test', plans)}", flush=True)

    def _conclude(self, split: str) -> tuple[Plans, dict[str, dict[str, Any]]]:
        """Gather the plans of all processes, and compute the figures on each, from the same numbers."""
        assert self.network is not None
        plans = self.outcome.plans()
        self.outcome.reset()
        scatter_weights(self.network)
        return plans, figures(plans, self.data.windows(split).seen_in_training)

    # --- checkpoints --------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep trainable weights only, and say what they were trained for."""
        checkpoint["leaplan"] = {"task": "planning", "for": self.identity}
        state = trainable_state(self)
        if self.device_mesh is not None:  # the first process has been given all weights
            state = {name: whole for name, whole in checkpoint["state_dict"].items() if name in state}
        checkpoint["state_dict"] = state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that was trained for something else.

        Raises:
            CheckpointError: Another vocabulary, horizon, language model or network; names what differs.
        """
        refuse_other(checkpoint["leaplan"].get("for", {}), self.identity, "the checkpoint")
        if "state_dict" in checkpoint:  # a strategy that shards has read it already
            refuse_misfit(self, checkpoint["state_dict"], "the checkpoint")
