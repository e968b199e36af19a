"""What was said about a clip, and just before and after it."""

from bisect import bisect_left
from collections.abc import Iterable

from leaplan.programs.evidence import Clip

FAR = 30.0  # seconds: narrations further away than this say nothing about a clip


class Narration:
    """Narration, verb, noun and all nouns of a clip, with its neighbours'.

    Args:
        clips: All clips whose narrations may be neighbours.
        neighbours: How many to tell before and after. With 0, clips that are narrated alike have the same text,
            which makes for far fewer requests to a language model.
    """

    name = "narration"

    def __init__(self, clips: Iterable[Clip] = (), neighbours: int = 1) -> None:
        self.neighbours = neighbours
        self._videos: dict[str, list[Clip]] = {}
        for clip in clips if neighbours else ():
            self._videos.setdefault(clip.video, []).append(clip)
        for video in self._videos.values():
            video.sort(key=_order)

    def describe(self, clip: Clip) -> str:
        """Return the narration's lines; "" for a clip that has no words at all."""
        lines = [f'said: "{clip.narration}"'] if clip.narration else []
        lines += [f"verb: {clip.verb}"] if clip.verb else []
        lines += [f"noun: {clip.noun}"] if clip.noun else []
        lines += [f"all nouns: {', '.join(clip.nouns)}"] if len(clip.nouns) > 1 else []
        return "\n".join(lines + self._around(clip)) if lines else ""

    def _around(self, clip: Clip) -> list[str]:
        others = self._videos.get(clip.video, [])
        place = bisect_left(others, _order(clip), key=_order)
        after = place + (place < len(others) and others[place].id == clip.id)
        before = [("before", each) for each in others[max(0, place - self.neighbours) : place]]
        following = [("after", each) for each in others[after : after + self.neighbours]]
        return [
            f"{when} (from {each.start - clip.start:.1f} to {each.stop - clip.start:.1f} s): {said}"
            for when, each in (*before, *following)
            if each.stop > clip.start - FAR and each.start < clip.stop + FAR and (said := _said(each))
        ]


def _order(clip: Clip) -> tuple[float, float, str]:
    return clip.start, clip.stop, clip.id


def _said(clip: Clip) -> str:
    """Return the narration, or the classes where there is none."""
    return f'"{clip.narration}"' if clip.narration else " ".join(filter(None, (clip.verb, clip.noun)))
