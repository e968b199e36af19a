"""The options of every verb that asks a language model, and the client's settings that follow from them."""

import argparse
from pathlib import Path
from typing import Any

from leaplan.options import at_least_one
from leaplan.text.chat.messages import ChatSettings


def add_model_options(group: Any, scope: str, max_tokens: int, concurrency: int) -> None:
    """Add them to a group of an argument parser.

    Args:
        group: Of the parser.
        scope: What `--max-usd` is the limit of, such as "in --out".
        max_tokens, concurrency: Defaults.
    """
    group.add_argument("--model", help="its name at the server")
    group.add_argument("--base-url", default="", metavar="URL", help="of a server that is compatible with OpenAI's")
    group.add_argument("--key-variable", default="OPENAI_API_KEY", metavar="NAME", help="default OPENAI_API_KEY")
    group.add_argument("--max-usd", type=float, metavar="USD", help=f"never spend more than this {scope} altogether")
    group.add_argument(
        "--price", type=float, nargs=3, metavar=("IN", "CACHED", "OUT"),
        help="USD per million tokens of input, cached input and output (default: the table of list prices)",
    )  # fmt: skip
    group.add_argument(
        "--concurrency", type=at_least_one, default=concurrency, metavar="N", help=f"requests at a time ({concurrency})"
    )
    group.add_argument(
        "--structured", choices=("schema", "json", "text"), default="schema",
        help="ask for JSON by schema (default), as any JSON object, or in words only",
    )  # fmt: skip
    group.add_argument("--temperature", type=float, default=0.0, metavar="T", help="default 0")
    group.add_argument(
        "--max-tokens", type=at_least_one, default=max_tokens, metavar="N", help=f"of an answer (default {max_tokens})"
    )
    group.add_argument("--seed", type=int, default=7, help="sent with each request (default 7)")
    group.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds per request (default 120)")


def settings_of(options: argparse.Namespace, cache: Path, **more: Any) -> ChatSettings:
    """Return the client's settings; answers and spending are kept in `cache`.

    Raises:
        ConfigError: A value is out of its range, or the address holds a password.
    """
    return ChatSettings(
        model=options.model or "none",
        base_url=options.base_url,
        key_variable=options.key_variable,
        temperature=options.temperature,
        seed=options.seed,
        max_tokens=options.max_tokens,
        structured=options.structured,
        timeout=options.timeout,
        concurrency=options.concurrency,
        max_usd=options.max_usd,
        price=tuple(options.price) if options.price else None,
        cache=cache,
        **more,
    )
