"""Read checkpoints of llama2.c, whole Llamas small enough for a test, as models of `transformers`.

The file is a header of seven int32 and float32 arrays behind it. Shapes: V tokens, H width, F width of the
feed-forward, N layers, A heads, G heads of keys and values, D = H / A, C context.
"""

import hashlib
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leaplan.errors import DataError

HEADER = struct.Struct("<7i")
AGAIN = "Download it again; stories260K.bin and its tok512.bin are an example"
SPACE = "\u2581"
SPECIAL = ("<unk>", "<s>", "</s>")


class Shape(NamedTuple):
    """Sizes of a checkpoint, in the order of its header.

    Args:
        width, hidden, layers, heads, key_heads: H, F, N, A, G.
        vocabulary: V, negative where the output layer has weights of its own.
        context: C.
    """

    width: int
    hidden: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    context: int


def read_llama2c(path: Path, dtype: torch.dtype = torch.float32) -> tuple[Any, Any, str]:
    """Return model, tokenizer and the SHA-256 of the weights of a checkpoint.

    The tokenizer is `tok<V>.bin` or `tokenizer.bin` beside it.

    Raises:
        DataError: A file is missing, or not of the size that its header says.
    """
    shape, arrays = _read_arrays(path)
    vocabulary = abs(shape.vocabulary)
    tokenizer = read_tokenizer(_tokenizer_beside(path, vocabulary), vocabulary)
    model = _model(shape, arrays)
    return model.to(dtype), tokenizer, weights_hash(arrays)


def read_tokenizer(path: Path, vocabulary: int) -> Any:
    """Return the tokenizer of a llama2.c file with that many pieces.

    It merges the adjacent pieces whose union has the largest score, as SentencePiece does, and falls back to bytes.

    Raises:
        DataError: The file is cut, or holds another number of pieces.
    """
    from tokenizers import Tokenizer, decoders, normalizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    pieces, scores = _read_pieces(path, vocabulary)
    ids = {piece: number for number, piece in enumerate(pieces)}
    if len(ids) != vocabulary:
        raise DataError(f"{path} holds the same piece twice", AGAIN)
    model = BPE(ids, _merges(ids, scores), unk_token=SPECIAL[0], byte_fallback=True, fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    unknown, begin, end = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=unknown, bos_token=begin, eos_token=end,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)} ".encode())
        digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _read_arrays(path: Path) -> tuple[Shape, dict[str, Tensor]]:
    content = _content(path)
    shape = Shape(*HEADER.unpack_from(content)) if len(content) >= HEADER.size else Shape(*[0] * 7)
    positive = min(*shape[:5], abs(shape.vocabulary), shape.context) > 0
    if not positive or shape.width % shape.heads or shape.heads % shape.key_heads:
        raise DataError(f"{path} is no llama2.c checkpoint: its header says {tuple(shape)}", AGAIN)
    layout = _layout(shape)
    expected = HEADER.size + 4 * sum(math.prod(size) for size in layout.values())
    if len(content) != expected:
        raise DataError(f"{path} has {len(content):,} bytes, but its header asks for {expected:,}", AGAIN)
    arrays, at = {}, HEADER.size
    for name, size in layout.items():
        flat = np.frombuffer(content, "<f4", math.prod(size), at)
        arrays[name] = torch.from_numpy(flat.astype(np.float32)).view(size)
        at += flat.nbytes
    return shape, arrays


def _layout(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Return the size of each array, in the order of the file."""
    h, f, n, c = shape.width, shape.hidden, shape.layers, shape.context
    v, d = abs(shape.vocabulary), shape.width // shape.heads
    g = shape.key_heads * d
    layout: dict[str, tuple[int, ...]] = {
        "embed_tokens": (v, h),
        "input_layernorm": (n, h),
        "self_attn.q_proj": (n, h, h),
        "self_attn.k_proj": (n, g, h),
        "self_attn.v_proj": (n, g, h),
        "self_attn.o_proj": (n, h, h),
        "post_attention_layernorm": (n, h),
        "mlp.gate_proj": (n, f, h),
        "mlp.down_proj": (n, h, f),
        "mlp.up_proj": (n, f, h),
        "norm": (h,),
        "cosines": (c, d // 2),
        "sines": (c, d // 2),
    }
    return layout if shape.vocabulary > 0 else {**layout, "lm_head": (v, h)}


def _model(shape: Shape, arrays: dict[str, Tensor]) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    shared = shape.vocabulary > 0
    config = LlamaConfig(
        vocab_size=abs(shape.vocabulary), hidden_size=shape.width, intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.key_heads,
        max_position_embeddings=shape.context, rms_norm_eps=1e-5, tie_word_embeddings=shared,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    weights = {"lm_head.weight": arrays["embed_tokens" if shared else "lm_head"]}
    weights |= {f"model.{name}.weight": arrays[name] for name in ("embed_tokens", "norm")}
    for name in [name for name in arrays if "proj" in name or "layernorm" in name]:
        for number, weight in enumerate(arrays[name]):
            heads = {"q_proj": shape.heads, "k_proj": shape.key_heads}.get(name.rpartition(".")[2])
            weights[f"model.layers.{number}.{name}.weight"] = _halves(weight, heads) if heads else weight
    with torch.random.fork_rng([]), torch.device("cpu"):  # the weights drawn first are thrown away
        model = LlamaForCausalLM._from_config(config, dtype=torch.float32)
    model.load_state_dict(weights)
    return model.eval()


def _halves(weight: Tensor, heads: int) -> Tensor:
    """Return rows (heads * D, H) with the first of each rotated pair before all the second.

    llama2.c rotates rows 2 i and 2 i + 1 of a head together, `transformers` rows i and i + D / 2.
    """
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(weight.shape)


def _tokenizer_beside(path: Path, vocabulary: int) -> Path:
    choices = [path.with_name(f"tok{vocabulary}.bin"), path.with_name("tokenizer.bin")]
    for choice in choices:
        if choice.is_file():
            return choice
    raise DataError(f"{path} has no tokenizer", f"Put its {choices[0].name} or {choices[1].name} beside it")


def _read_pieces(path: Path, vocabulary: int) -> tuple[list[str], NDArray[np.float32]]:
    content = _content(path)
    pieces, scores, at = [], [], 4  # behind the length of the longest piece
    try:
        for _ in range(vocabulary):
            score, length = struct.unpack_from("<fi", content, at)
            at += 8 + length
            pieces.append(content[at - length : at].decode().replace(" ", SPACE))
            scores.append(score)
    except (struct.error, UnicodeDecodeError):
        at = -1
    if at != len(content):
        raise DataError(f"{path} does not hold {vocabulary} pieces and nothing else", AGAIN)
    return [*SPECIAL, *pieces[len(SPECIAL) :]], np.array(scores, np.float32)


def _merges(ids: dict[str, int], scores: NDArray[np.float32]) -> list[tuple[str, str]]:
    """Return all pairs of pieces whose union is a piece, the best union first."""
    found = []
    for piece, number in ids.items():
        if piece not in SPECIAL and not (piece.startswith("<0x") and len(piece) == 6):
            cuts = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
            found += [(-scores[number], pair) for pair in cuts if pair[0] in ids and pair[1] in ids]
    return [pair for _, pair in sorted(found, key=lambda each: each[0])]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", AGAIN) from error
