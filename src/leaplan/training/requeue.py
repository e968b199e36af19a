"""A job that a cluster ends before training does: stop behind an epoch, be queued again, continue."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

STOPPED = 75
"""Exit code of a run that stopped before its end and can be continued (EX_TEMPFAIL of sysexits.h)."""


class Requeue(Callback):
    """End training with the running epoch when SIGUSR1 arrives, and have SLURM queue the job again.

    SLURM sends the signal to every process some time before the job's end (`#SBATCH --signal=USR1@120`). Runs continue
    from the end of an epoch, never from its middle: only there are all results those of an uninterrupted run. If the
    epoch ends within the grace, `last.ckpt` is written behind it; otherwise the job is queued again all the same, while
    it still may be, and continues from the last epoch whose end was written.

    Lightning leaves the signal alone, because it finds a handler in place: its own writes a checkpoint of the middle
    of an epoch, from which random numbers, running means and accumulated gradients are missing.

    Args:
        grace: Seconds to wait for the end of the epoch.
    """

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.stopped = False
        self._asked = threading.Event()
        self._queueing = threading.Lock()
        self._queued = False

    def watch(self) -> None:
        """Listen to the signal, until the process ends: also while the model is built, and while it is evaluated."""
        threading.Thread(target=self._queue_in_time, name="requeue", daemon=True).start()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self._asked.is_set():
            self._asked.set()

    def _queue_in_time(self) -> None:
        """Queue the job again once the grace is over: whoever is still here then will not finish."""
        self._asked.wait()
        time.sleep(self.grace)
        self.queue()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop, if any process was asked to and epochs are left."""
        asked = trainer.strategy.reduce_boolean_decision(self._asked.is_set(), all=False)
        if asked and trainer.current_epoch + 1 != trainer.max_epochs:
            self.stopped = trainer.should_stop = True

    @rank_zero_only
    def queue(self) -> None:
        """Have SLURM queue this job again, once; nothing happens outside of SLURM."""
        job = job_of(os.environ)
        with self._queueing:
            if job is None or self._queued:
                return
            self._queued = True
            try:
                command = ["scontrol", "requeue", job]
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
            except (OSError, subprocess.SubprocessError) as error:
                reason = str(getattr(error, "stderr", None) or error).strip()
                print(f"leaplan: job {job} could not be queued again ({reason}); submit it anew", file=sys.stderr)
            else:
                print(f"job {job} is queued again", flush=True)


def job_of(environment: Mapping[str, str]) -> str | None:
    """Return how `scontrol` names the SLURM job, or task of an array, that this process belongs to; None outside."""
    if "SLURM_ARRAY_JOB_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment.get("SLURM_JOB_ID")
