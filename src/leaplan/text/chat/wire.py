"""One request over the wire, through the openai SDK: what came back, or what went wrong and what that means."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from leaplan.errors import ConfigError, UserError
from leaplan.text.chat.messages import Answer, ChatSettings, Request, Usage, request_hash

OPENAI = "https://api.openai.com/v1"
UNSENT = (
    "ClientConnectorError",
    "ConnectionTimeoutError",
    "ConnectionRefusedError",
    "gaierror",
)  # no connection at all
MOST_TOKENS = 1 << 31  # of a believable count
WEAKER = {"json_schema": "json", "json_object": "text"}
HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "h11", "anyio", "aiohttp")
RETRIED = (408, 409, 425, 500, 502, 503, 504, 520, 522, 524, 529)
NO_KEY = "none"  # what a server of one's own is sent where no key is set


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with one attempt.

    Args:
        kind, message: For `Failed`.
        again: Whether another attempt may help.
        billed: Whether the server may have billed it.
        wait: Seconds that the server asks to wait, if it does.
        fatal: What ends the whole job.
    """

    kind: str
    message: str
    again: bool = False
    billed: bool = False
    wait: float | None = None
    fatal: UserError | None = None


class Wire:
    """Sends requests. What a server refuses (such as JSON Schema) is left out from then on.

    Raises:
        ConfigError: There is no key, or one that cannot be sent.
    """

    def __init__(self, settings: ChatSettings) -> None:
        from openai import AsyncOpenAI, DefaultAioHttpClient
        from openai import Timeout as Seconds

        key = os.environ.get(settings.key_variable, "").strip()  # files and pipes end it with a newline
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"the key in {settings.key_variable} holds characters that no key has",
                f"Set it again:  export {settings.key_variable}=...",
            )
        if not key and not settings.base_url:
            raise ConfigError(
                f"the environment variable {settings.key_variable} is not set",
                f"export {settings.key_variable}=...  or name a server of your own with --base-url",
            )
        self.settings, self.key = settings, key
        self.structured: str = settings.structured
        self.length_field = "max_tokens"
        self.left_out: set[str] = set()
        self.client = AsyncOpenAI(
            api_key=key or NO_KEY,
            base_url=settings.base_url or OPENAI,  # never from the environment: answers are kept by server
            max_retries=0,
            timeout=Seconds(settings.timeout, connect=min(10.0, settings.timeout)),
            http_client=DefaultAioHttpClient(),  # twice as fast as the default with many connections
        )

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

    def body(self, request: Request) -> dict[str, Any]:
        """Return the JSON body of a request, as the server is known to take it."""
        settings, left_out = self.settings, self.left_out
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": [dict(message) for message in request.messages],
            self.length_field: settings.max_tokens,
            "temperature": settings.temperature,
        }
        if settings.seed is not None:
            body["seed"] = settings.seed
        if request.schema is not None:
            body |= self._format(request, body["messages"])
        return {name: value for name, value in body.items() if name not in left_out}

    def _format(self, request: Request, messages: list[dict[str, str]]) -> dict[str, Any]:
        """Return how the answer is to be formatted; without JSON Schema it is told in words."""
        if self.structured == "schema":
            schema = {"name": request.schema_name, "schema": request.schema, "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        told = f"\n\nAnswer with JSON that this JSON Schema allows, and nothing else:\n{json.dumps(request.schema)}"
        messages[0] = {**messages[0], "content": messages[0]["content"] + told}
        return {"response_format": {"type": "json_object"}} if self.structured == "json" else {}

    async def send(self, request: Request) -> Answer | Fault:
        """Send `request` once."""
        body = self.body(request)
        try:
            async with asyncio.timeout(self.settings.timeout):
                content = await self._exchange(body)
        except Exception as error:
            fault = self.fault_of(error, body)
            if fault is None:
                raise
            return fault
        return read_completion(content, request_hash(self.settings, request), self.settings.model)

    def fault_of(self, error: Exception, body: Mapping[str, Any] | None = None) -> Fault | None:
        """Return what an exception of the SDK, or of the HTTP library below it, means; None of others."""
        import openai

        if isinstance(error, _TooLongError):
            return Fault("too long", f"the answer is longer than {self.settings.most_bytes:,} bytes", billed=True)
        if isinstance(error, openai.APIStatusError):
            return self._refused(error, body or {})
        if isinstance(error, (TimeoutError, openai.APITimeoutError)) and _is_timeout(error):
            return Fault("timeout", f"no answer within {self.settings.timeout:g} s", again=True, billed=_sent(error))
        library = type(error).__module__.split(".")[0]
        if isinstance(error, (openai.OpenAIError, OSError)) or library in HTTP_LIBRARIES:
            return Fault("connection", self.redacted(_reason(error)), again=True, billed=_sent(error))
        return None

    async def _exchange(self, body: Mapping[str, Any]) -> bytes:
        """Return the bytes of the answer to `body`; read no more of them than allowed."""
        parts, size = [], 0
        create = self.client.chat.completions.with_streaming_response.create
        # As `extra_body` it is sent as it is: the SDK would walk through every message to convert its keys.
        async with create(model=body["model"], messages=[], extra_body=body) as response:
            async for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if size > self.settings.most_bytes:
                    raise _TooLongError
        return b"".join(parts)

    def _refused(self, error: Any, body: Mapping[str, Any]) -> Fault:
        """Return what an HTTP status other than success means as an answer to `body`."""
        status, message = error.status_code, self.redacted(_reason(error))
        wait = seconds_to_wait(error.response.headers)
        if status in (401, 403):
            where = self.settings.base_url or "the server"
            what = f"{where} refuses the key in {self.settings.key_variable} (HTTP {status}): {message}"
            return Fault(
                "refused", message, fatal=ConfigError(what, f"Set another:  export {self.settings.key_variable}=...")
            )
        if status == 404:
            what = f"the server does not know model '{self.settings.model}' (HTTP 404): {message}"
            return Fault("refused", message, fatal=ConfigError(what, "Check --model and --base-url"))
        if status == 429 and "insufficient_quota" in message:
            what = f"the account behind {self.settings.key_variable} has no money left: {message}"
            return Fault("refused", message, fatal=ConfigError(what, "Top it up, then run the same command again"))
        if status == 429:
            return Fault("rate limit", message, again=True, wait=wait)
        if status in RETRIED or status >= 500:
            return Fault("server", f"HTTP {status}: {message}", again=True, wait=wait)
        return Fault("refused", f"HTTP {status}: {message}", again=status == 400 and self._adapt(message, body))

    def _adapt(self, message: str, body: Mapping[str, Any]) -> bool:
        """Leave out what the server says that it does not take; tell whether `body` had it.

        Many requests learn the same at once, so what counts is what this one was sent with.
        """
        kind = body.get("response_format", {}).get("type")
        if "max_completion_tokens" in message and "max_tokens" in body:
            self.length_field = "max_completion_tokens"
        elif kind and any(word in message for word in ("response_format", "json_schema", "json_object")):
            if self.structured != "text":
                self.structured = WEAKER[kind]
        elif name := next((n for n in ("temperature", "seed") if n in message and n in body), ""):
            self.left_out.add(name)
        else:
            return False
        return True

    def redacted(self, text: str) -> str:
        """Return `text` without the key, in one short line."""
        text = " ".join(text.split())
        for secret in (self.key, *self.key.split()):
            text = text.replace(secret, "***") if len(secret) > 3 else text
        return text[:300]


def read_completion(content: bytes | str | Mapping[str, Any], key: str, model: str) -> Answer | Fault:
    """Return the answer in the body of a chat completion; its price is not known here (`usd` is 0)."""
    try:
        body = content if isinstance(content, Mapping) else json.loads(content)
        choice = body["choices"][0]
        message = choice["message"]
        text, reason = message.get("content"), choice.get("finish_reason") or "stop"
        if text is None:
            text, reason = message.get("refusal") or "", "refusal" if message.get("refusal") else reason
        if not isinstance(text, str):
            raise TypeError("content is not text")
        usage = _usage(body.get("usage"))
        told_model, fingerprint = (_sound(str(body.get(name) or "")[:200]) for name in ("model", "system_fingerprint"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        what = f"the server's answer is no chat completion ({type(error).__name__})"
        return Fault("malformed", what, again=True, billed=True)
    return Answer(_sound(text), _sound(str(reason)[:200]), usage, 0.0, told_model or model, fingerprint, False, key)


def _usage(told: Any) -> Usage:
    """Return the tokens that a server tells; -1 of a prompt where it tells none, or none that can be believed."""
    told = told if isinstance(told, Mapping) else {}
    prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
    if not (_is_count(prompt) and _is_count(completion) and prompt):
        return Usage(-1, 0, 0)
    details = told.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    return Usage(prompt, min(cached, prompt) if _is_count(cached) else 0, completion)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_TOKENS


def _sound(text: str) -> str:
    """Return `text` without halves of characters, which JSON may hold and no file takes."""
    return text.encode(errors="replace").decode()


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in Retry-After (a number or an HTTP date) or retry-after-ms; None where there are none."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        told = headers.get("retry-after")
        if told is None:
            return None
        return max(
            0.0, float(told) if told.replace(".", "", 1).isdigit() else parsedate_to_datetime(told).timestamp() - time()
        )
    except (ValueError, TypeError):
        return None


class _TooLongError(Exception):
    """An answer is longer than allowed."""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes; the SDK and its HTTP library wrap each other's, and rename some wrongly."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_timeout(error: Exception) -> bool:
    """Return whether time was over; a connection that was closed or refused is called a timeout by some layers."""
    *_, first = _chain(error)
    return isinstance(first, TimeoutError) or "Timeout" in type(first).__name__


def _sent(error: Exception) -> bool:
    """Return whether a request that failed may have reached the server."""
    names = {kind.__name__ for each in _chain(error) for kind in type(each).__mro__}
    return not names & set(UNSENT)


def _reason(error: Exception) -> str:
    body = getattr(error, "body", None)
    told = body.get("message") if isinstance(body, Mapping) else None
    code = body.get("code") if isinstance(body, Mapping) else None
    *_, first = _chain(error)
    return f"{told or first or type(first).__name__}{f' ({code})' if code else ''}"
