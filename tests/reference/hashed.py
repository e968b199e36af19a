"""Numbers in [-1, 1) from a name: weights and inputs of the parity recipe, with no random generator."""

import zlib

import numpy as np

GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)


def u(name, n):
    """`n` float64 values in [-1, 1) that depend on `name` and the index alone (SplitMix64 of crc32 and index)."""
    with np.errstate(over="ignore"):
        z = (np.uint64(zlib.crc32(name.encode()) << 32) + np.arange(n, dtype=np.uint64)) * GOLDEN_RATIO + GOLDEN_RATIO
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) / 2.0**52 - 1


def weight(name, shape):
    """The weight of that official name and shape, float32."""
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    values = u(name, int(np.prod(shape))).reshape(shape)
    if last in ("class_embedding", "positional_embedding", "temporal_cls_token", "balance"):
        values = 0.5 * values
    elif last == "running_var":
        values = 1 + 0.25 * values
    elif last == "running_mean" or last.endswith("bias"):
        values = 0.1 * values
    elif len(shape) == 1:
        values = 1 + 0.1 * values
    else:
        values = values * np.sqrt(3 / np.prod(shape[1:]))
    return values.astype(np.float32)
