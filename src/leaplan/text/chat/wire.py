"""One request over the wire, through the openai SDK: what came back, or what went wrong and what that means."""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from leaplan.errors import ConfigError, UserError
from leaplan.text.chat.messages import Answer, ChatSettings, Request, Usage, request_hash

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
        ConfigError: There is no key.
    """

    def __init__(self, settings: ChatSettings) -> None:
        from openai import AsyncOpenAI, DefaultAioHttpClient
        from openai import Timeout as Seconds

        key = os.environ.get(settings.key_variable, "")
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
            base_url=settings.base_url or None,
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
        import openai

        try:
            async with asyncio.timeout(self.settings.timeout):
                content = await self._exchange(self.body(request))
            return self._answer(request, content)
        except TimeoutError:
            return Fault("timeout", f"no answer within {self.settings.timeout:g} s", again=True, billed=True)
        except _TooLongError:
            most = self.settings.most_bytes
            return Fault("too long", f"the answer is longer than {most:,} bytes", billed=True)
        except openai.APITimeoutError:
            return Fault("timeout", f"no answer within {self.settings.timeout:g} s", again=True, billed=True)
        except openai.APIStatusError as error:
            return self._refused(error)
        except (openai.APIConnectionError, OSError, openai.OpenAIError) as error:
            return Fault("connection", self.redacted(_reason(error)), again=True, billed=True)
        except Exception as error:  # of the HTTP library, while the answer is read
            if type(error).__module__.split(".")[0] not in (
                "httpx",
                "httpx2",
                "httpcore",
                "httpcore2",
                "h11",
                "anyio",
                "aiohttp",
            ):
                raise
            return Fault("connection", self.redacted(_reason(error)), again=True, billed=True)

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

    def _answer(self, request: Request, content: bytes) -> Answer | Fault:
        return read_completion(content, request_hash(self.settings, request), self.settings.model)

    def _refused(self, error: Any) -> Fault:
        """Return what an HTTP status other than success means."""
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
        return Fault("refused", f"HTTP {status}: {message}", again=status == 400 and self._adapt(message))

    def _adapt(self, message: str) -> bool:
        """Leave out what the server says that it does not take; tell whether something was left out."""
        if "max_completion_tokens" in message and self.length_field == "max_tokens":
            self.length_field = "max_completion_tokens"
        elif (
            any(word in message for word in ("response_format", "json_schema", "json_object"))
            and self.structured != "text"
        ):
            self.structured = "json" if self.structured == "schema" else "text"
        elif name := next((n for n in ("temperature", "seed") if n in message and n not in self.left_out), ""):
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
        use = body.get("usage") or {}
        cached = (use.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        usage = Usage(int(use.get("prompt_tokens") or -1), int(cached), int(use.get("completion_tokens") or 0))
        names = str(body.get("model") or model), str(body.get("system_fingerprint") or "")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        what = f"the server's answer is no chat completion ({type(error).__name__})"
        return Fault("malformed", what, again=True, billed=True)
    return Answer(text, str(reason), usage, 0.0, *names, False, key)


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


def _reason(error: Exception) -> str:
    cause = error.__cause__ if error.__cause__ is not None else error
    body = getattr(error, "body", None)
    told = body.get("message") if isinstance(body, Mapping) else None
    code = body.get("code") if isinstance(body, Mapping) else None
    return f"{told or cause or type(cause).__name__}{f' ({code})' if code else ''}"
