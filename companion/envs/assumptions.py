"""Every assumption of the simulated shop in one table: value, unit, where it comes from.

"fitted": found by `calibration_fit` so that a simulated figure meets a published one. "published":
taken from a paper as it stands. "by hand": no figure that was looked at moves it, so nobody knows
it; a result that depends on it has to be shown for other values. "declared": a choice of the
shop's or of this project's. "from the log": counted in the log that the world is made of. "left
out": what a real shop has and this one has not.
"""

import inspect
import re
from dataclasses import fields

import pandas as pd

from companion.envs.assumptions_form import DECLARED, FORM, HAND, UNKNOWN, Origin
from companion.envs.calibration import PROFILES, SHOPPERS
from companion.envs.calibration_targets import BETWEEN, OPEN_BANDIT, RETAILROCKET, VIRTUAL_TAOBAO
from companion.envs.shop_view import ShopConfig
from companion.envs.shopper import ShopperConfig

PAPER, FITTED = "published", "fitted"
SARDINE, LATER = "SARDINE (arXiv:2311.16586)", "weeks 37 to 44 of Complete Journey"
LOGIT, NUMBER, PAGES, DAYS = "logit", "number", "pages", "days"


def _fit(unit: str, figures: str, source: str) -> Origin:
    return Origin(unit, FITTED, f"{figures}: {source}")


def _hand(unit: str, source: str = UNKNOWN) -> Origin:
    return Origin(unit, HAND, source)


# In the profile that is chosen; where the others differ, the table shows it.
SHOPPER: dict[str, Origin] = {
    "no_click": _fit(LOGIT, "click rate of random items", VIRTUAL_TAOBAO),
    "interest": _fit(LOGIT, "gain of own frequency; taste", f"{BETWEEN}; {LATER}"),
    "interest_floor": _hand("mean interest", "keeps the logarithm finite"),
    "mood": _hand("log of interest"),
    "drift": Origin("share a click", PAPER, SARDINE),
    "boredom": Origin("times the published", PAPER, f"{SARDINE}; graded, arXiv:2011.06741"),
    "boredom_clicks": Origin("clicks", PAPER, SARDINE),
    "boredom_window": Origin(PAGES, PAPER, SARDINE),
    "boredom_days": _hand(DAYS),
    "popularity": _fit(LOGIT, "gain of the bestsellers; Gini of purchases", OPEN_BANDIT),
    "repeat": _fit(LOGIT, "gain of the bestsellers and of own frequency", OPEN_BANDIT),
    "price": _fit(LOGIT, "price of what is bought", LATER),
    "place": Origin("factor a place", PAPER, SARDINE),
    "fatigue": _fit(LOGIT, "clicks on page 1 against page 11", VIRTUAL_TAOBAO),
    "search": _hand("share of visits"),
    "intent": _hand(LOGIT),
    "need": _hand(LOGIT),
    "need_days": _hand(DAYS),
    "cart": _fit(LOGIT, "carts per click", RETAILROCKET),
    "cart_fit": _fit(NUMBER, "share of purchases that are repeats", LATER),
    "purchase": _fit(LOGIT, "purchases per cart", RETAILROCKET),
    "purchase_fit": _hand(NUMBER),
    "patience": _fit(PAGES, "mean pages of a visit; visits of 1 to 5 pages", VIRTUAL_TAOBAO),
    "patience_spread": _fit("log of pages", "the same", VIRTUAL_TAOBAO),
    "patience_click": _hand("share of a page"),
    "returning": _hand(LOGIT),
    "returning_clicks": _hand(LOGIT),
    "gap_spread": _fit("log of days", "quartiles of days between visits", LATER),
    "gap_clicks": _hand("log of days"),
}
SHOP: dict[str, Origin] = {
    "slate_size": Origin("items", DECLARED, "as a page of Virtual-Taobao"),
    "horizon": Origin(PAGES, DECLARED, "an episode is cut there, not ended"),
    "visits": Origin("visits", DECLARED, "bounds an episode"),
    "click": Origin("reward", DECLARED, "SQN (arXiv:2006.05779)"),
    "cart": Origin("reward", DECLARED, "a cart is worth what is bought from it"),
    "purchase": Origin("reward", DECLARED, "SQN (arXiv:2006.05779)"),
}
# Where the docstring speaks of the setting before it.
CLEARER = {
    "boredom_days": "days in which boredom fades between visits",
    "need_days": "days in which a satisfied need fades",
    "purchase_fit": "share of the terms repeat, price and need in the decision to buy",
    "patience_spread": "standard deviation of the logarithm of patience",
}


def meanings(config: type) -> dict[str, str]:
    """What each setting means: the first sentence of its entry in the class's docstring.

    Args:
        config: a class whose docstring has a section "Attributes:".
    """
    section = inspect.getdoc(config).partition("Attributes:\n")[2]  # type: ignore[union-attr]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    texts = {name: " ".join(text.split()) for name, text in entries}
    first = {name: re.split(r"\.(?: |$)", text)[0] for name, text in texts.items()}
    return first | {name: CLEARER[name] for name in first if name in CLEARER}


def assumptions(
    shopper: ShopperConfig | None = None, shop: ShopConfig | None = None
) -> pd.DataFrame:
    """Every assumption of the shop.

    Args:
        shopper: the user model in use; the calibrated one when None.
        shop: the shop in use; the default one when None.

    Returns:
        A row for each assumption, by part ("shopper", "shop", "form", "world",
        "log" or "left out") and name: `meaning`,
        `value`, a column for each other profile of the calibration (empty where it agrees with the
        calibrated one), `unit`, `how` (see above) and `source`. A value that is not the
        default's is said to be "changed", whatever it comes from.
    """
    used = shopper or ShopperConfig()
    others = PROFILES[1:]
    rows: dict[tuple[str, str], tuple[object, ...]] = {}
    for part, config, origins in (("shopper", used, SHOPPER), ("shop", shop or ShopConfig(), SHOP)):
        meaning = meanings(type(config))
        for field in fields(config):
            value, origin = getattr(config, field.name), origins[field.name]
            how = origin.how if value == field.default else "changed"
            known = [_elsewhere(profile, part, field.name) for profile in others]
            row = (meaning[field.name], value, *known, origin.unit, how, origin.source)
            rows[part, field.name] = row
    for (part, name), (text, fact, origin) in FORM.items():
        rows[part, name] = (text, fact, *[""] * len(others), *origin)
    columns = ["meaning", "value", *others, "unit", "how", "source"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=object)
    return frame.set_axis(pd.MultiIndex.from_tuples(rows, names=["part", "name"]))


def _elsewhere(profile: str, part: str, name: str) -> object:
    """A setting of the shopper in another profile of the calibration, where it differs."""
    if part != "shopper":
        return ""
    value = getattr(SHOPPERS[profile], name)
    return "" if value == getattr(ShopperConfig(), name) else value
