"""Pretrained language models, from the Hugging Face hub, a folder or a llama2.c file. Only safetensors are read."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from leaplan.errors import ConfigError, DataError, UserError
from leaplan.text.causal import CausalLanguageModel, Learns, Lora, Precision

WANTED = ["*.safetensors", "*.json", "*.model", "*.txt"]
"""Files of a model on the hub: never pickled weights, never code."""
TOKENIZERS = ("tokenizer.json", "*.model", "vocab.*")


class PretrainedCausal:
    """A pretrained model of the Hugging Face hub or from a folder, or a llama2.c checkpoint.

    Only safetensors are read, and no code of the model is run.

    Args:
        model: Hub id such as "Qwen/Qwen2.5-0.5B", folder, or `.bin` file of llama2.c.
        learns: Which weights learn: none, low-rank adapters, or all.
        lora: Of the adapters.
        dtype: Number format of the weights. Adapters are always float32.
        gradient_checkpointing: Compute activations again in the backward pass, instead of keeping them.
        four_bit: Keep the linear layers in 4 bits (needs CUDA and the extra `four-bit`).
    """

    def __init__(
        self, model: str, learns: Learns = "lora", lora: Lora | None = None, dtype: Precision = "float32",
        gradient_checkpointing: bool = False, four_bit: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.learns, self.lora, self.dtype = model, learns, lora or Lora(), dtype
        self.gradient_checkpointing, self.four_bit = gradient_checkpointing, four_bit
        path = Path(model).expanduser()
        self.name = path.resolve().name if path.exists() else model  # where a folder lies is nobody's business

    def build(self, corpus: Callable[[], Sequence[str]], folder: Path | None) -> CausalLanguageModel:
        """Return the model: the copy in `folder`, where an exported planner has one, else as said. No corpus is used.

        Raises:
            UserError: Not found, without readable weights or tokenizer, or settings that do not fit.
        """
        dtype = getattr(torch, self.dtype)
        path = Path(self.model).expanduser()
        if path.suffix == ".bin":
            from leaplan.text.llama2c import read_llama2c

            model, tokenizer, digest = read_llama2c(path, dtype)
        else:
            four_bit = _four_bit(self.learns, dtype) if self.four_bit else {}
            place = folder if folder is not None and folder.is_dir() else find_folder(self.model)
            model, tokenizer, digest = load_folder(place, self.model, dtype=dtype, **four_bit)
        return CausalLanguageModel(
            model, tokenizer, self.name, digest, self.learns, self.lora, self.gradient_checkpointing
        )


def find_folder(model: str) -> Path:
    """Return the folder of a model: itself, or the hub's copy on this computer, downloaded if need be.

    Raises:
        UserError: There is no such folder and no such model on the hub, or the hub cannot be reached.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise ConfigError(f"language model folder {model} does not exist", "Set --model.language.model")
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(model, allow_patterns=WANTED, ignore_patterns=["*/*"]))
    except (OSError, ValueError) as error:
        reason = "HF_HUB_OFFLINE is set" if huggingface_hub.constants.HF_HUB_OFFLINE else _brief(error)
        raise UserError(
            f"language model '{model}' is neither a folder nor to be had from the hub ({reason})",
            f"Download it where there is a network:  hf download {model}\n"
            "  or give a folder, or use leaplan.text.small_llama.SmallLlama, which needs no download",
        ) from None


def load_folder(folder: Path, name: str, **settings: Any) -> tuple[Any, Any, str]:
    """Return model, tokenizer and the SHA-256 of the weight files of a Hugging Face folder.

    Args:
        folder: With config.json, *.safetensors and a tokenizer.
        name: For messages.
        settings: Of `from_pretrained`, such as dtype.

    Raises:
        DataError: Something is missing in the folder, pickled, or cannot be read without running its code.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = _weight_files(folder, name)
    if not any(found for pattern in TOKENIZERS for found in folder.glob(pattern)):
        raise DataError(f"language model {name} has no tokenizer", f"Put its tokenizer.json into {folder}")
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        with progress_bars(sys.stderr.isatty()):
            tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
            model, report = AutoModelForCausalLM.from_pretrained(
                folder, **safe, use_safetensors=True, output_loading_info=True, **settings
            )
    except Exception as error:  # damaged files make their parsers raise anything
        hint = "It must be a causal language model of the transformers library; if it is one, download it again"
        raise DataError(f"language model {name} cannot be read: {_brief(error)}", hint) from error
    if report["missing_keys"]:
        raise DataError(f"language model {name} lacks weights: {min(report['missing_keys'])}", "Download it again")
    return model, tokenizer, _files_hash(weights)


@contextmanager
def progress_bars(shown: bool) -> Iterator[None]:
    """Show or hide the progress bars of `transformers`, and leave its setting as it was."""
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    switch = {True: logging.enable_progress_bar, False: logging.disable_progress_bar}
    switch[shown and before]()
    try:
        yield
    finally:
        switch[before]()


def _weight_files(folder: Path, name: str) -> list[Path]:
    weights = sorted(folder.glob("*.safetensors"))
    if (folder / "adapter_config.json").exists():
        raise DataError(
            f"{name} holds adapters of a language model, not the model", "Merge them into their model first"
        )
    if not weights:
        pickled = sorted(path.name for end in ("bin", "pt", "pth", "ckpt") for path in folder.glob(f"*.{end}"))
        why = f": {pickled[0]} is pickled, and a pickle can run any program" if pickled else ""
        raise DataError(
            f"language model {name} has no weights in *.safetensors{why}",
            "Use a safetensors version of it, or convert one that you trust with transformers' save_pretrained",
        )
    return weights


def _files_hash(files: Sequence[Path]) -> str:
    """Return the SHA-256 of the files one after another, as `cat FILES | sha256sum` does."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _four_bit(learns: Learns, dtype: torch.dtype) -> dict[str, Any]:
    """Return the settings that load a model in 4 bits onto this process's GPU."""
    from transformers import BitsAndBytesConfig

    if learns == "full":
        raise ConfigError("four_bit weights cannot learn, but learns=full", "Set learns to lora or frozen")
    if find_spec("bitsandbytes") is None:
        raise ConfigError("four_bit needs bitsandbytes, which is not installed", "pip install 'leaplan[four-bit]'")
    if not torch.cuda.is_available():
        raise ConfigError("four_bit needs a CUDA device, and there is none", "Set four_bit to false")
    form = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    return {"quantization_config": form, "device_map": {"": int(os.environ.get("LOCAL_RANK", 0))}}


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
