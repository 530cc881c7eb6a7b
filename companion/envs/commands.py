"""The commands `companion data simulate` and `calibration`: the simulated shop and its proof."""

import argparse
from pathlib import Path
from typing import Any

POLICIES = {
    "random": "every item with the same chance",
    "popularity": "in proportion to popularity, without replacement (Plackett-Luce)",
    "bestsellers": "the most popular, with probability 0.1 at each place another one",
}


def add_parsers(subparsers: Any) -> None:
    """Adds the command to the subparsers of `companion data`."""
    words = "; ".join(f"{name}: {what}" for name, what in POLICIES.items())
    parser = subparsers.add_parser(
        "simulate", help="make a log of simulated shoppers, with exact propensities"
    )
    parser.add_argument("--out", required=True, help="where the events go: .parquet or .csv")
    parser.add_argument("--policy", choices=[*POLICIES], default="random", help=words)
    parser.add_argument("--shoppers", type=int, default=1_000, help="how many (%(default)s)")
    parser.add_argument("--places", type=int, default=10, help="items on a page (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same log")
    parser.add_argument(
        "--source", default="auto", help="log of purchases that the shop is built from"
    )
    parser.set_defaults(func=_simulate)
    parser = subparsers.add_parser(
        "calibration", help="put the simulated shop's figures beside the published ones"
    )
    parser.add_argument(
        "--profile", default="retailrocket", help="which settings of the shopper (%(default)s)"
    )
    parser.add_argument("--shoppers", type=int, default=4_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same figures")
    parser.add_argument(
        "--source", default="auto", help="log of purchases that the shop is built from"
    )
    parser.set_defaults(func=_calibration)


def _simulate(args: argparse.Namespace) -> int:
    # Loaded for this command alone: building the shop takes a second.
    from companion.data.commands import summary
    from companion.data.write import check_ending, write
    from companion.envs.shop import ShopVectorEnv, load_world
    from companion.envs.shop_log import simulate

    out = check_ending(Path(args.out))
    shop = ShopVectorEnv(1, load_world(args.source), slate_size=args.places)
    policy = behaviour(args.policy, shop)
    log = simulate(shop, policy, shoppers=args.shoppers, seed=args.seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    write(log.events, out)
    print(f"{log.name}: {log.about}")
    print("\n".join(summary(log.events, log.rejected)))
    print(f"written: {out}")
    return 0


def _calibration(args: argparse.Namespace) -> int:
    # Loaded for this command alone: building the shop takes a second.
    from companion.envs import calibration

    if args.profile not in calibration.SHOPPERS:
        wish = ", ".join(calibration.SHOPPERS)
        raise ValueError(f"profile must be one of {wish}; got {args.profile!r}")
    _, era = calibration.load_eras(args.source)
    found = calibration.measure(
        era.world, calibration.SHOPPERS[args.profile], shoppers=args.shoppers, seed=args.seed
    )
    wanted = calibration.targets(args.profile, era.later, era.world.source)
    table = calibration.calibration_table(wanted, found)
    print(f"{args.profile}, on {era.world.source}, {args.shoppers:,} simulated shoppers")
    print(table.drop(columns=["source", "unit"]).round(4).to_string())
    print(f"met: {table['met'].sum()} of {len(table)}")
    return 0


def behaviour(name: str, shop: Any) -> Any:
    """A policy of `POLICIES` for the slates of a shop.

    Args:
        name: of the policy.
        shop: a `ShopVectorEnv` or `ShopEnv`.

    Raises:
        ValueError: there is no policy of that name.
    """
    import numpy as np

    from companion.envs.policies import Choice, RandomPolicy, ScorePolicy

    places, share = shop.floor.config.slate_size, shop.floor.world.popularity
    if name == "random":
        return RandomPolicy(places)
    choices = {
        "popularity": Choice(places, temperature=1.0),
        "bestsellers": Choice(places, epsilon=0.1),
    }
    if name not in choices:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}; got {name!r}")
    scores = np.log(np.maximum(share, 1e-9))
    return ScorePolicy(name, lambda obs, info: scores, choices[name])
