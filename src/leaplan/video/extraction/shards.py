"""A share of the videos, by their ids alone: stable, disjoint, and the same on every machine."""

import hashlib
import re
from dataclasses import dataclass

from leaplan.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index`, from 0, of `count` parts.

    A video belongs to the part that the SHA-256 of its id gives, modulo `count`: adding or removing other videos
    moves none.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"there is no shard {self.index}/{self.count}",
                f"Shards of {self.count} go from 0/{self.count} to {self.count - 1}/{self.count}"
                if self.count > 0
                else "Such as --shard 0/3",
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return shard "i/n".

        Raises:
            ConfigError: Another form, or i is not from 0 to n - 1.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if found is None:
            raise ConfigError(f"shard {text!r} is not of the form i/n", "Such as --shard 0/3, --shard 1/3, --shard 2/3")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, name: str) -> bool:
        """Say whether the video with id `name` belongs to this part."""
        digest = hashlib.sha256(name.encode("utf-8")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index

    def parts(self, count: int) -> list["Shard"]:
        """Return this part cut into `count` disjoint parts, which together are it."""
        return [Shard(self.index + self.count * part, self.count * count) for part in range(count)]
