"""A small Llama that learns the language of plans from the training plans: no download, seconds on a processor.

It is an ordinary Hugging Face folder afterwards. Shapes: B lines of one length class, L tokens, H width, V vocabulary.
"""

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from leaplan.errors import ConfigError, DataError
from leaplan.text.causal import CausalLanguageModel, Learns, Lora
from leaplan.text.pretrained import load_folder, progress_bars

CACHE = Path("~/.cache/leaplan/language").expanduser()
SPECIAL = ("<begin>", "<end>", "<pad>")
MARKS = r"[^\w\s]"
SMALLEST_VOCABULARY = 256 + len(SPECIAL)
SETTINGS = "leaplan.json"
DECISIVE = ("width", "layers", "heads", "vocabulary", "context", "epochs", "steps", "learning_rate", "batch", "seed")
"""Settings that decide what is learnt from given lines."""
PATIENCE = 2
"""Epochs without a better prediction of held-out lines before training ends."""


class SmallLlama:
    """A Llama trained on the training plans themselves when a run first needs it, and kept beside the run.

    The same plans and settings give the same weights, so runs share them through a cache.

    Args:
        width, layers, heads: H; decoder layers; attention heads.
        vocabulary: V, at most: fewer where the plans do not have as many different word pieces.
        context: Longest sequence of tokens that the planner may show it.
        epochs: Passes over the different lines, more where `steps` asks for it; fewer once held-out lines are no longer
            predicted better.
        steps: Optimiser steps to allow for where the lines are few.
        seconds: After which training ends with the epoch. What it cuts short is not repeatable.
        learning_rate: Of AdamW; a half cosine to zero follows a short warm-up.
        batch: Lines per step.
        seed: Of weights, order and held-out lines.
        learns: Which weights learn later, with the planner: none, low-rank adapters, or all.
        lora: Of the adapters.
        cache: Where runs share models; None is ~/.cache/leaplan/language.

    Raises:
        ConfigError: `vocabulary` is too small, or `width` no even multiple of `heads`.
    """

    name = "small Llama"

    def __init__(
        self,
        width: int = 128,
        layers: int = 3,
        heads: int = 4,
        vocabulary: int = 1024,
        context: int = 256,
        epochs: int = 6,
        steps: int = 500,
        seconds: float = 120.0,
        learning_rate: float = 2e-3,
        batch: int = 8,
        seed: int = 7,
        learns: Learns = "lora",
        lora: Lora | None = None,
        cache: str | None = None,
    ) -> None:
        if vocabulary < SMALLEST_VOCABULARY or width % (2 * heads):
            raise ConfigError(
                f"a small Llama needs vocabulary >= {SMALLEST_VOCABULARY} and a width that is an even multiple of its "
                f"heads, but vocabulary = {vocabulary}, width = {width}, heads = {heads}",
                "Set them under --model.language",
            )
        self.width, self.layers, self.heads, self.vocabulary, self.context = width, layers, heads, vocabulary, context
        self.epochs, self.steps, self.seconds = epochs, steps, seconds
        self.learning_rate, self.batch, self.seed = learning_rate, batch, seed
        self.learns, self.lora = learns, lora
        self.cache = CACHE if cache is None else Path(cache).expanduser()

    @property
    def settings(self) -> dict[str, float]:
        """All that decides what it learns from given plans."""
        return {name: getattr(self, name) for name in DECISIVE}

    def build(self, corpus: Callable[[], Sequence[str]], folder: Path | None) -> CausalLanguageModel:
        """Return the model in `folder`, or train it on `corpus()` and keep it there.

        Raises:
            DataError: There are no plans to learn from, or the folder holds a model of other settings.
            ConfigError: A plan is longer than the context.
        """
        if folder is not None and folder.is_dir():
            self._refuse_other(folder)
            return self._load(folder)
        lines = list(corpus())
        with TemporaryDirectory() as nowhere:
            kept = self._kept(lines, Path(nowhere))
            if folder is not None:
                fill_folder(folder, lambda partial: shutil.copytree(kept, partial, dirs_exist_ok=True))
            return self._load(folder or kept)

    def _kept(self, lines: list[str], nowhere: Path) -> Path:
        """Return a folder with the model of these lines: the cache's, else trained into `nowhere`."""
        key = json.dumps([self.settings, lines], sort_keys=True)
        shared = self.cache / hashlib.sha256(key.encode()).hexdigest()[:32]
        if shared.is_dir():
            return shared
        self._train(lines, nowhere)
        with suppress(OSError):  # a cache that cannot be written costs time, not the run
            fill_folder(shared, lambda partial: shutil.copytree(nowhere, partial, dirs_exist_ok=True))
        return nowhere

    def _load(self, folder: Path) -> CausalLanguageModel:
        model, tokenizer, digest = load_folder(folder, self.name, dtype=torch.float32)
        return CausalLanguageModel(model, tokenizer, self.name, digest, self.learns, self.lora)

    def _refuse_other(self, folder: Path) -> None:
        try:
            found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        wrong = [name for name, value in self.settings.items() if found.get(name) != value]
        if wrong:
            raise DataError(
                f"{folder} holds a language model with {wrong[0]} = {found.get(wrong[0])}, "
                f"but {self.settings[wrong[0]]} is asked for",
                f"Train again with --overwrite, choose another --name, or delete {folder}",
            )

    def _train(self, lines: list[str], folder: Path) -> None:
        """Train tokenizer and model on `lines`, and write both to `folder`."""
        if not any(line.strip() for line in lines):
            raise DataError("there are no training plans for a small language model to learn from", "Check the data")
        start = time.monotonic()
        # The planner may be built where gradients are off, or under another default device.
        with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"), torch.random.fork_rng([]):
            torch.manual_seed(self.seed)
            tokenizer = train_tokenizer(lines, self.vocabulary, self.context)
            model = self._new_model(tokenizer)
            learned = self._learn(model, self._encode(tokenizer, lines), start + self.seconds)
        with progress_bars(False):
            model.config.save_pretrained(folder)
        weights = {name: weight for name, weight in model.state_dict().items() if name != "lm_head.weight"}  # tied
        save_file(weights, folder / "model.safetensors", {"format": "pt"})  # save_pretrained leaves it to rank 0
        tokenizer.save_pretrained(folder)
        (folder / SETTINGS).write_text(json.dumps({**self.settings, **learned._asdict()}, indent=1), encoding="utf-8")
        size = sum(parameter.numel() for parameter in model.parameters())
        print(
            f"language model: {size / 1e6:.2f} M parameters, trained on {len(lines):,} lines in "
            f"{time.monotonic() - start:.0f} s, held-out loss {learned.held_out_loss:.2f}",
            flush=True,
        )

    def _new_model(self, tokenizer: Any) -> Any:
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=self.width, intermediate_size=-(-self.width * 8 // 3 // 16) * 16,
            num_hidden_layers=self.layers, num_attention_heads=self.heads, max_position_embeddings=self.context,
            tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        return LlamaForCausalLM._from_config(config, dtype=torch.float32, attn_implementation="sdpa")

    def _encode(self, tokenizer: Any, lines: list[str]) -> "Corpus":
        """Return the lines in tokens. One in ten *different* lines is held out, with all its repeats."""
        ids = {line: tokenizer.encode(line, add_special_tokens=False) for line in dict.fromkeys(lines)}
        longest = max(ids, key=lambda line: len(ids[line]))
        if len(ids[longest]) + 2 > self.context:
            raise ConfigError(
                f"a training plan has {len(ids[longest])} tokens, but the context of the small Llama is "
                f"{self.context}: {longest[:80]}",
                f"Set --model.language.context to {len(ids[longest]) + 2} or more, and leave room for the prompt",
            )
        begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
        counts = Counter(lines)  # in the order in which lines first occur, as `ids`
        rows = [Line(torch.tensor([begin, *row, end]), counts[line]) for line, row in ids.items()]
        order = [rows[number] for number in torch.randperm(len(rows)).tolist()]
        held = len(order) // 10
        return Corpus(order[held:], order[:held] or order)

    def _learn(self, model: Any, corpus: "Corpus", deadline: float) -> "Learned":
        """Train until held-out lines are no longer predicted better, and keep the best weights."""
        per_epoch = -(-len(corpus.train) // self.batch)
        epochs = max(self.epochs, -(-self.steps // per_epoch))
        optimizer = torch.optim.AdamW(model.parameters(), self.learning_rate, (0.9, 0.98), weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=epochs * per_epoch, pct_start=0.05, cycle_momentum=False
        )
        best, weights, best_epoch, epoch = float("inf"), model.state_dict(), 0, 0
        while epoch < epochs and epoch - best_epoch < PATIENCE and time.monotonic() < deadline:
            epoch += 1
            model.train()
            for lines in batches(corpus.train, self.batch, shuffle=True):
                optimizer.zero_grad(set_to_none=True)
                training_loss(model, lines).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            loss = mean_loss(model, corpus.held_out, 8 * self.batch)
            if loss < best:
                best, best_epoch = loss, epoch
                weights = {name: weight.clone() for name, weight in model.state_dict().items()}
        model.load_state_dict(weights)
        return Learned(best, best_epoch, len(corpus.train))


class Line(NamedTuple):
    """One of the different lines.

    Args:
        ids: Its tokens (L,), from the one that begins to the one that ends it.
        repeats: How often it occurs.
    """

    ids: Tensor
    repeats: int


class Corpus(NamedTuple):
    """Lines to learn from, and others to judge by."""

    train: list[Line]
    held_out: list[Line]


class Learned(NamedTuple):
    """How training went.

    Args:
        held_out_loss: Mean cross-entropy of a token of the held-out lines, in nats.
        best_epoch: After which it was reached.
        different_lines: Trained on.
    """

    held_out_loss: float
    best_epoch: int
    different_lines: int


def train_tokenizer(lines: Sequence[str], vocabulary: int, context: int) -> Any:
    """Return a byte-level BPE tokenizer of `lines` that can write any text.

    Marks such as quotes and brackets are tokens of their own, so that a caption is tokenised the same as its parts.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # data loaders that fork later would warn
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(MARKS), "isolated"), words])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), show_progress=False, min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(lines, trainer)
    begin, end, pad = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token=pad, model_max_length=context,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def batches(lines: list[Line], size: int, shuffle: bool = False) -> Iterator[list[Line]]:
    """Yield B lines of about the same length together."""
    order = torch.randperm(len(lines)).tolist() if shuffle else list(range(len(lines)))
    pools = [order[first : first + 16 * size] for first in range(0, len(order), 16 * size)]
    ranked = [sorted(pool, key=lambda number: len(lines[number].ids)) for pool in pools]
    parts = [pool[first : first + size] for pool in ranked for first in range(0, len(pool), size)]
    for part in torch.randperm(len(parts)).tolist() if shuffle else range(len(parts)):
        yield [lines[number] for number in parts[part]]


def training_loss(model: Any, lines: list[Line]) -> Tensor:
    """Return the mean cross-entropy of a token, a scalar, lines weighing as the square root of how often they occur.

    That is between what is frequent and what is possible: it predicts unseen plans better than either.
    """
    loss, tokens = line_losses(model, lines)
    weights = torch.tensor([line.repeats for line in lines], dtype=torch.float32).sqrt()
    return (loss * weights).sum() / (tokens * weights).sum()


@torch.no_grad()
def mean_loss(model: Any, lines: list[Line], size: int) -> float:
    """Return the cross-entropy of a token of `lines`, in nats."""
    model.eval()
    sums = [line_losses(model, part) for part in batches(lines, size)]
    return sum(float(loss.sum()) for loss, _ in sums) / sum(int(tokens.sum()) for _, tokens in sums)


def line_losses(model: Any, lines: list[Line]) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy (B,) of each line, summed over its tokens but the first, and how many those are (B,).

    Padding stands behind the tokens and is never seen by them, so it needs no mask.
    """
    ids = pad_sequence([line.ids for line in lines], batch_first=True, padding_value=-1)  # (B, L)
    logits = model(input_ids=ids[:, :-1].clamp(min=0)).logits  # (B, L - 1, V)
    target = ids[:, 1:]
    each = cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-1, reduction="none")
    return each.view_as(target).sum(1), (target >= 0).sum(1)


def fill_folder(folder: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` write a temporary folder beside `folder`, then rename it. Whoever comes first wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", ignore_cleanup_errors=True) as near:
        partial = Path(near) / folder.name
        partial.mkdir()
        fill(partial)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
