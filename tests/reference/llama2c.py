"""llama2.c in NumPy: a whole forward pass without a cache, and its greedy tokenizer."""

import struct
from itertools import pairwise

import numpy as np


def read(path):
    raw = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocab, context = struct.unpack("<7i", raw[:28])
    data = np.frombuffer(raw, "<f4", offset=28).astype(np.float64)
    at = 0

    def take(*size):
        nonlocal at
        count = int(np.prod(size))
        at += count
        return data[at - count : at].reshape(size)

    kv_dim = dim // heads * kv_heads
    weights = {"embedding": take(vocab, dim), "att_norm": take(layers, dim)}
    weights |= {"wq": take(layers, dim, dim), "wk": take(layers, kv_dim, dim), "wv": take(layers, kv_dim, dim)}
    weights |= {"wo": take(layers, dim, dim), "ffn_norm": take(layers, dim), "w1": take(layers, hidden, dim)}
    weights |= {"w2": take(layers, dim, hidden), "w3": take(layers, hidden, dim), "norm": take(dim)}
    return (dim, layers, heads, kv_heads, context), weights


def rms_norm(x, weight):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight


def rotate(x, head_size):
    """Rotate adjacent pairs (2 i, 2 i + 1) of each head of (length, heads, head size) by position / 10000^(2 i / d)."""
    position = np.arange(len(x))[:, None, None]
    angle = position * 10000.0 ** (-np.arange(0, head_size, 2) / head_size)
    even, odd = x[..., 0::2], x[..., 1::2]
    out = np.empty_like(x)
    out[..., 0::2] = even * np.cos(angle) - odd * np.sin(angle)
    out[..., 1::2] = even * np.sin(angle) + odd * np.cos(angle)
    return out


def logits(path, tokens):
    """Return the logits (length, vocabulary) of token ids."""
    (dim, layers, heads, kv_heads, _), w = read(path)
    size, length = dim // heads, len(tokens)
    x = w["embedding"][tokens]
    for layer in range(layers):
        y = rms_norm(x, w["att_norm"][layer])
        q = rotate((y @ w["wq"][layer].T).reshape(length, heads, size), size)
        k = rotate((y @ w["wk"][layer].T).reshape(length, kv_heads, size), size)
        v = (y @ w["wv"][layer].T).reshape(length, kv_heads, size)
        mixed = np.zeros((length, heads, size))
        for head in range(heads):
            group = head // (heads // kv_heads)
            for t in range(length):
                scores = k[: t + 1, group] @ q[t, head] / np.sqrt(size)
                share = np.exp(scores - scores.max())
                mixed[t, head] = share / share.sum() @ v[: t + 1, group]
        x = x + mixed.reshape(length, dim) @ w["wo"][layer].T
        y = rms_norm(x, w["ffn_norm"][layer])
        gate = y @ w["w1"][layer].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w["w3"][layer].T)) @ w["w2"][layer].T
    return rms_norm(x, w["norm"]) @ w["embedding"].T


def encode(path, text):
    """Return the ids of `text` by merging, again and again, the adjacent pieces whose union scores best."""
    raw, at, pieces, scores = path.read_bytes(), 4, [], []
    while at < len(raw):
        score, length = struct.unpack_from("<fi", raw, at)
        pieces.append(raw[at + 8 : at + 8 + length])
        scores.append(score)
        at += 8 + length
    ids = {piece: number for number, piece in reversed(list(enumerate(pieces)))}
    tokens = []
    for letter in " " + text:
        raw_letter = letter.encode()
        tokens += [ids[raw_letter]] if raw_letter in ids else [byte + 3 for byte in raw_letter]
    while True:
        unions = [(ids.get(pieces[a] + pieces[b]), i) for i, (a, b) in enumerate(pairwise(tokens))]
        best = max(((scores[u], -i, u) for u, i in unions if u is not None), default=None)
        if best is None:
            return tokens
        tokens[-best[1] : -best[1] + 2] = [best[2]]
