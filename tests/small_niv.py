"""A tiny dataset in NIV's official layout, with features that tell the steps: what CLI tests train on."""

import json
from pathlib import Path

import numpy as np

TASKS = {
    "making tea": ["boil water", "add leaves", "pour water", "stir tea", "drink tea"],
    "fixing bike": ["lift bike", "remove wheel", "patch tube", "mount wheel", "pump tube"],
}
WIDTH = 12


def write_small_niv(root: Path, videos: int = 20, seed: int = 3) -> Path:
    """Write `root/niv` with train and valid lists and `processed_data/<video>.npy`; return `root`."""
    rng = np.random.default_rng(seed)
    folder = root / "niv"
    (folder / "processed_data").mkdir(parents=True)
    index, first = {}, 0
    for task_id, (task, names) in enumerate(TASKS.items()):
        index[task] = {"task_id": task_id, "actions": {name: first + i for i, name in enumerate(names)}}
        first += len(names)
    (folder / "niv_action_idx.json").write_text(json.dumps(index))
    looks = rng.normal(size=(first + 1, WIDTH))
    for part, count in (("train", videos), ("valid", videos // 2)):
        entries = {}
        for number in range(count):
            task = list(TASKS)[number % 2]
            video, record, array = _video(rng, part, number, task, index[task], looks)
            entries[video] = record
            np.save(folder / "processed_data" / f"{video}.npy", array)
        (folder / f"niv_{part}.json").write_text(json.dumps(entries))
    return root


def _video(rng, part, number, task, entry, looks):
    names = list(entry["actions"])
    order = sorted(range(len(names)), key=lambda i: i + rng.normal(0, 0.7))
    steps, clock = [], 2.0
    rows = [looks[-1]] * 2
    for position in order:
        length = int(rng.integers(3, 6))
        action = names[position]
        steps.append({"action": action, "action_id": entry["actions"][action], "start": clock, "end": clock + length})
        rows += [looks[entry["actions"][action]]] * length
        clock += length
    rows += [looks[-1]] * 3
    array = np.stack(rows) + rng.normal(0, 0.3, (len(rows), WIDTH))
    video = f"{task.split()[1]}_{part}_{number:04d}"
    return video, {"task": task, "task_id": entry["task_id"], "steps": steps}, array.astype(np.float32)
