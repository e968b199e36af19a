"""Money, counted in whole nano-dollars so that sums are exact, and the table of list prices."""

import json
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from importlib.resources import files
from math import ceil
from typing import Any
from urllib.parse import urlparse

from leaplan.errors import ConfigError
from leaplan.text.chat.messages import ChatSettings, Request, Usage, most_prompt_tokens

NANO = 10**9
TABLE = "prices.json"
MOST = 100_000  # USD per million tokens; keeps sums within 64 bits
LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars per token of input, cached input and output, and what share of them a batch costs."""

    prompt: Decimal
    cached: Decimal
    completion: Decimal
    batch_share: Decimal = Decimal(1)

    def of(self, usage: Usage, batch: bool = False) -> int:
        """Return what an answer costs in nano-dollars, rounded up."""
        cached = min(usage.cached, usage.prompt)
        exact = (usage.prompt - cached) * self.prompt + cached * self.cached + usage.completion * self.completion
        share = self.batch_share if batch else Decimal(1)
        return int((exact * share).to_integral_value(ROUND_CEILING))

    def at_most(self, request: Request, max_tokens: int, batch: bool = False) -> int:
        """Return what a request can cost at most, in nano-dollars."""
        return self.of(Usage(most_prompt_tokens(request), 0, max_tokens), batch)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job will ask.

    Args:
        requests: All of them.
        unique: Different ones.
        cached: Different ones that are answered already.
        prompt_tokens, completion_tokens: Expected, of those still to be sent.
        usd: Expected price of those; usd_most: their upper bound.
        prices: Where prices come from.
    """

    requests: int
    unique: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    usd: float
    usd_most: float
    prices: str


def price_of(settings: ChatSettings) -> tuple[Price, str]:
    """Return the price of a model, and where it comes from.

    Raises:
        ConfigError: The model is in no table, and its price would be needed.
    """
    table = _table()
    share = Decimal(str(table["batch_share"]))
    if settings.price is not None:
        return _per_token(settings.price, share), "given"
    found = table["models"].get(settings.model) or table["models"].get(_undated(settings.model))
    own = (urlparse(settings.base_url).hostname or "") in LOCAL or settings.max_usd is None
    if settings.base_url and found is None and own:  # a name in the table may be a paid model behind a proxy
        return _per_token((0.0, 0.0, 0.0), share), "a server of one's own: 0"
    if found is None:
        known = ", ".join(sorted(table["models"]))
        raise ConfigError(
            f"the price of model '{settings.model}' is not known (prices of {table['date']}: {known})",
            "Give it in USD per million tokens of input, cached input and output:  --price 0.15 0.075 0.60",
        )
    return _per_token(tuple(found), share), f"table of {table['date']}"


def nano_of(usd: float) -> int:
    """Return an amount that is given in USD, rounded down."""
    return int((Decimal(str(usd)) * NANO).to_integral_value(ROUND_FLOOR))


def expected_tokens(request: Request) -> int:
    """Return about how many tokens a prompt has: a token is about four bytes of English."""
    return ceil(most_prompt_tokens(request) / 4)


def _per_token(price: tuple[float, ...], share: Decimal) -> Price:
    if len(price) != 3 or not all(0 <= each <= MOST for each in price):
        raise ConfigError(
            f"price {price} is not three amounts from 0 to {MOST:,} USD", "Such as --price 0.15 0.075 0.60"
        )
    prompt, cached, completion = (Decimal(str(each)) * 1000 for each in price)
    return Price(prompt, cached, completion, share)


def _undated(model: str) -> str:
    """Return a name without its date: "gpt-4o-mini" of "gpt-4o-mini-2024-07-18"."""
    return re.sub(r"-\d{4}-?\d{2}-?\d{2}$", "", model)


def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(files("leaplan.text.chat").joinpath(TABLE).read_text(encoding="utf-8"))
    return table
