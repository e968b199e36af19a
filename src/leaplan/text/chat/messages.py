"""What goes to a language model and what comes back, as plain values."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from leaplan.errors import ConfigError

Structured = Literal["schema", "json", "text"]
RANGES = {
    "concurrency": (1, 10_000),
    "attempts": (1, 1000),
    "max_tokens": (1, 10_000_000),
    "timeout": (1e-3, 86_400),
    "temperature": (0, 2),
}


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """How a server is asked.

    Args:
        model: Its name at the server.
        base_url: Of a compatible server; "" is OpenAI's own.
        key_variable: Environment variable that holds the key. The key itself is kept nowhere.
        temperature, seed, max_tokens: Of an answer; seed None sends none.
        structured: Answers by JSON Schema, as any JSON object, or in words. A server that refuses the first is
            asked for the second, with the schema in words.
        timeout: Seconds for one answer, from the first byte sent to the last received.
        concurrency: Requests under way at a time.
        attempts: How often a request is sent before it is given up.
        patience: Seconds that a request waits for a server that says "too many requests".
        max_usd: All that `cache` may ever have spent, requests under way included; None is without limit.
        price: USD per million tokens (input, cached input, output); None looks the model up in the price table.
        cache: SQLite file of answers and spending.
        most_bytes: Longest answer that is read.
        grace: Seconds that answers under way are waited for when the job is interrupted.
        count_lost: Whether requests without an answer, which a server may have billed all the same (timeouts, resets,
            killed processes), go on counting against `max_usd` at their highest price. False forgets, when a job
            begins, those that are so old that no process can still wait for them.
    """

    model: str
    base_url: str = ""
    key_variable: str = "OPENAI_API_KEY"
    temperature: float = 0.0
    seed: int | None = 7
    max_tokens: int = 2000
    structured: Structured = "schema"
    timeout: float = 120.0
    concurrency: int = 64
    attempts: int = 6
    patience: float = 900.0
    max_usd: float | None = None
    price: tuple[float, float, float] | None = None
    cache: Path = Path("~/.cache/leaplan/answers.sqlite")
    most_bytes: int = 4 << 20
    grace: float = 5.0
    first_wait: float = 0.5
    poll_seconds: float = 30.0
    count_lost: bool = True

    def __post_init__(self) -> None:
        """Refuse impossible settings.

        Raises:
            ConfigError: A value is out of its range.
        """
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:  # NaN is in no range
                raise ConfigError(f"{name} is {value}, but must be from {least:g} to {most:g}")
        if self.max_usd is not None and not (isfinite(self.max_usd) and self.max_usd >= 0):
            raise ConfigError(f"max_usd is {self.max_usd}, but must be 0 or more", "Leave it out for no limit")
        address = urlsplit(self.base_url)
        if self.base_url and (address.scheme not in ("http", "https") or not address.hostname):
            raise ConfigError("base_url is no address of a server", "Such as --base-url http://localhost:8000/v1")
        if "@" in address.netloc:
            raise ConfigError(
                "base_url holds a user name or a password, which messages would show",
                f"Leave them out; the key belongs into the environment variable {self.key_variable} (--key-variable)",
            )


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Args:
        messages: In the order of the conversation, each with "role" and "content".
        schema_name, schema: Of the answer; None for an answer in words.
        again: Counts up where the same question is to be asked anew instead of taken from the cache.
    """

    messages: tuple[Mapping[str, str], ...]
    schema_name: str = ""
    schema: Mapping[str, Any] | None = None
    again: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer; `cached` are those of the prompt that the server had read before."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said.

    Args:
        text: The content, or the refusal where `finish_reason` is "refusal".
        finish_reason: "stop", "length" (cut), "content_filter", "refusal", or what the server says.
        usage: Tokens.
        usd: Its price, paid when it was first asked.
        model, fingerprint: As the server names them.
        cached: It was paid for before.
        request_hash: Of the question, see `request_hash`.
    """

    text: str
    finish_reason: str
    usage: Usage
    usd: float
    model: str
    fingerprint: str
    cached: bool
    request_hash: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer, and why.

    Args:
        kind: "budget", "rate limit", "server", "connection", "timeout", "refused", "too long" or "malformed".
        message: In words, without the key.
        attempts: How often the request was sent.
        request_hash: Of the question.
    """

    kind: str
    message: str
    attempts: int
    request_hash: str = ""


def request_hash(settings: ChatSettings, request: Request) -> str:
    """Return the SHA-256 of all that decides an answer: server, model, parameters, messages and schema."""
    content = {
        "server": settings.base_url,
        "model": settings.model,
        "parameters": [settings.temperature, settings.seed, settings.max_tokens, settings.structured],
        "messages": [dict(message) for message in request.messages],
        "schema": [request.schema_name, request.schema],
        "again": request.again,
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def most_prompt_tokens(request: Request) -> int:
    """Return how many tokens a prompt has at most: no tokenizer makes more of a text than it has bytes."""
    texts = (f"{message['role']}{message['content']}" for message in request.messages)
    asked = sum(len(text.encode(errors="surrogatepass")) + 16 for text in texts)
    return asked + (2 * len(json.dumps(request.schema)) + 64 if request.schema else 0)
