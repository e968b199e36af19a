"""Video files made in the test: every frame carries its number in pixels, coarse enough to survive a codec."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, BITS = 160, 120, 10
TIME_BASE = Fraction(1, 12800)


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return an RGB frame (height, width, 3) that shows `number` as two rows of five black or white fields."""
    bits = (number >> np.arange(BITS)) & 1
    fields = np.where(bits.reshape(2, 5), 200.0, 40.0)
    rows, columns = np.arange(height), np.arange(width)
    image = fields[rows * 2 // height][:, columns * 5 // width]
    image = image + 15 * np.sin((rows[:, None] + columns[None, :] + 3 * number) / 7.0)
    return np.repeat(image[..., None], 3, axis=2).astype(np.uint8)


def number_in(frame: np.ndarray) -> int:
    """Return the number that a frame (H, W, 3) shows, or -1 where a field is neither black nor white."""
    height, width = frame.shape[:2]
    centres = frame[height // 4 :: height // 2, width // 10 :: width // 5].astype(float)[:2, :5, 0]
    half = 4
    for row in range(2):
        for column in range(5):
            y, x = height // 4 + row * height // 2, width // 10 + column * width // 5
            centres[row, column] = frame[y - half : y + half, x - half : x + half].mean()
    if ((centres > 80) & (centres < 160)).any():
        return -1
    return int(((centres.ravel() > 120) << np.arange(BITS)).sum())


def make_video(
    path: Path,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    frames: int = 150,
    rate: int = 25,
    ticks: Callable[[int], int] | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    audio: bool = False,
    faststart: bool = False,
) -> Path:
    """Write `frames` numbered frames; `ticks(i)` gives the presentation time of frame i in 1/12800 s."""
    step = int(1 / TIME_BASE) // rate
    with av.open(str(path), "w", container_options={"movflags": "faststart"} if faststart else {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        if codec == "mpeg4":  # its clock is 16 bits wide
            stream.codec_context.time_base = Fraction(1, rate)
        sound = _add_silence(output) if audio else None
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="rgb24")
            base = stream.codec_context.time_base
            frame.pts = (ticks(i) if ticks else i * step) if base == TIME_BASE else i
            frame.time_base = base
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if sound is not None:
            _write_silence(output, sound, seconds=frames / rate)
    return path


def make_audio_only(path: Path) -> Path:
    """Write a second of silence and no picture."""
    with av.open(str(path), "w") as output:
        _write_silence(output, _add_silence(output), seconds=1.0)
    return path


def cut_without_decoding(source: Path, path: Path, start: int) -> Path:
    """Copy the packets of `source` from the key frame before frame `start` on, as `ffmpeg -ss X -c copy` does.

    Frame `start` gets time 0 and what is before it a negative time, which the MP4 muxer hides by an edit list.
    """
    with av.open(str(source)) as first, av.open(str(path), "w") as output:
        video = first.streams.video[0]
        step = int(1 / (video.average_rate * video.time_base))
        packets = [packet for packet in first.demux(video) if packet.dts is not None]
        keys = [i for i, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= start * step]
        copy = output.add_stream_from_template(video)
        for packet in packets[keys[-1] :]:
            packet.pts, packet.dts = packet.pts - start * step, packet.dts - start * step
            packet.stream = copy
            output.mux(packet)
    return path


def sequential_truth(path: Path) -> tuple[list[float], list[int]]:
    """Decode a whole file in order: the times of its frames, from the first on, and their numbers."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        shown = [(frame.pts, number_in(frame.to_ndarray(format="rgb24"))) for frame in container.decode(stream)]
        base = stream.time_base
    ticks = [pts for pts, _ in shown]
    assert ticks == sorted(set(ticks))
    return [float((pts - ticks[0]) * base) for pts in ticks], [number for _, number in shown]


def shown_at(times: Sequence[float], numbers: Sequence[int], time: float) -> int:
    """Return the number of the frame shown at `time`: the last one whose time is not after it."""
    return numbers[max(0, int(np.searchsorted(times, time + 1e-6, side="right")) - 1)]


def _add_silence(output: av.container.OutputContainer) -> av.AudioStream:
    return output.add_stream("aac", rate=16000, layout="mono")


def _write_silence(output: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    for start in range(0, int(16000 * seconds), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())
