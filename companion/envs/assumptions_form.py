"""What the simulated shop takes for granted beside its settings, and what it leaves out."""

import inspect
from typing import NamedTuple

from companion.envs import shop_clock, shop_page, shop_queries, shop_view, shop_world

HAND, DECLARED, LOG, PAPER = "by hand", "declared", "from the log", "published"
LEFT_OUT, UNKNOWN = "left out", "nothing known: vary it"


class Origin(NamedTuple):
    """Where an assumption comes from."""

    unit: str
    how: str
    source: str  # the paper, the figures that it is fitted to, or what to do about it


Fact = tuple[str, object, Origin]  # meaning, value, origin


def _form(meaning: str, value: str, how: str, source: str) -> Fact:
    return meaning, value, Origin("form", how, source)


def _missing(meaning: str, source: str) -> Fact:
    return meaning, "no", Origin("form", LEFT_OUT, source)


def _default(argument: str) -> object:
    """The default of an argument of `load_world`."""
    return inspect.signature(shop_world.load_world).parameters[argument].default


_COUNTED = "Complete Journey, called simulated by its packager, or the project's sample"
_SEEN = "of what the agent sees; the shopper does not have it"
FORM: dict[tuple[str, str], Fact] = {
    ("form", "choice"): _form(
        "a page brings one click or none, by a multinomial logit",
        "logit",
        PAPER,
        "RecSim (arXiv:1909.04847); Virtual-Taobao allows 10 clicks",
    ),
    ("form", "interest"): _form(
        "interest counts as log(interest * freshness + floor)",
        "log",
        PAPER,
        "Luce (1959): chances in proportion to interest",
    ),
    ("form", "mood"): _form(
        "today's interest is the usual one times a factor for each topic",
        "log-normal",
        HAND,
        UNKNOWN,
    ),
    ("form", "boredom"): _form(
        "boredom is with a topic, grows with clicks and fades by page and by day",
        "geometric",
        PAPER,
        "Leqi et al. (arXiv:2011.06741)",
    ),
    ("form", "funnel"): _form(
        "a purchase needs a cart, and a cart a click",
        "in turn",
        PAPER,
        "ESM2 (arXiv:1910.07099)",
    ),
    ("form", "leaving"): _form(
        "a visit ends when pages without a click have used up its patience",
        "log-normal",
        PAPER,
        "KuaiSim (arXiv:2309.12645), drawn anew for each visit",
    ),
    ("form", "return"): _form(
        "whether and when she comes back depends on her clicks of the visit alone",
        "logit, log-normal",
        HAND,
        UNKNOWN,
    ),
    ("form", "search"): _form(
        "a search is for a kind: a topic by interest, then an item by popularity",
        "two draws",
        HAND,
        UNKNOWN,
    ),
    ("form", "cart rule"): _form(
        "what is in the cart is not shown again in the same visit",
        "mask",
        DECLARED,
        "a rule of the shop",
    ),
    ("world", "households"): (
        "purchases, prices paid, gaps between visits, shares of topics",
        "counts",
        Origin("of each household", LOG, _COUNTED),
    ),
    ("world", "items"): (
        "items bought most, which are all that the shop sells",
        _default("num_items"),
        Origin("items", DECLARED, "a working size"),
    ),
    ("world", "topics"): (
        "largest categories, the rest by department",
        _default("num_topics"),
        Origin("topics at most", DECLARED, "a working size"),
    ),
    ("world", "departments"): (
        "departments that are no goods",
        ", ".join(shop_world.LEFT_OUT).lower(),
        Origin("names", DECLARED, "Complete Journey's"),
    ),
    ("world", "training weeks"): (
        "share of the log's weeks that the world is made of",
        shop_world.TRAIN_SHARE,
        Origin("share", DECLARED, "the later weeks check the calibration"),
    ),
    ("world", "smoothing"): (
        "purchases in the shop's own shares that are mixed into a household's",
        shop_world.SMOOTHING,
        Origin("purchases", HAND, UNKNOWN),
    ),
    ("log", "memory"): (
        "share of recent clicks that an observation keeps from page to page",
        shop_page.MEMORY,
        Origin("share", DECLARED, _SEEN),
    ),
    ("log", "long away"): (
        "days away that an observation counts as 1",
        shop_view.YEAR,
        Origin("days", DECLARED, _SEEN),
    ),
    ("log", "many purchases"): (
        "purchases that an observation counts as one half",
        shop_view.ENOUGH,
        Origin("purchases", DECLARED, _SEEN),
    ),
    ("log", "seconds"): (
        "seconds on a page, beyond a minimum, in the mean",
        shop_clock.MEAN,
        Origin("seconds", HAND, "no reward depends on it"),
    ),
    ("log", "spelling"): (
        "mistyped queries; no reward depends on them",
        shop_queries.SLIP,
        Origin("share", HAND, "no reward depends on it"),
    ),
    ("left out", "seasons"): _missing("weekdays, seasons, holidays", "the log has them"),
    ("left out", "promotions"): _missing(
        "discounts, coupons and prices that change", "the log has them"
    ),
    ("left out", "stock"): _missing("items that run out, or are new", "the catalogue is fixed"),
    ("left out", "others"): _missing(
        "shoppers who hear of each other; other shops", "each shopper is alone"
    ),
    ("left out", "regret"): _missing("returned goods, complaints", "a purchase is final"),
}
