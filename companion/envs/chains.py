"""The two small chains of Sutton and Barto's chapter 6, drawn as one row of cells."""

from companion.envs.finite import Outcome, from_outcomes
from companion.envs.world import World


def random_walk(states: int = 5) -> World:
    """The random walk of Example 6.2, where each value is known.

    ## Description
    A row of states A, B, C, ... between two ends. Each step goes left or right, each with
    probability 1/2, whatever the agent does.

    ## Action Space
    One action, 0.

    ## Observation Space
    The cell: 0 is the left end, 1 is A, `states` + 1 is the right end.

    ## Rewards
    +1 for the step into the right end, 0 otherwise. Without discount the value of cell k is
    k / (`states` + 1): 1/6 to 5/6 in the book.

    ## Starting State
    The cell in the middle (C in the book), or the one left of the middle.

    ## Episode End
    Terminated at either end.

    ## Arguments
    states: cells between the ends, 1 or more.

    Raises:
        ValueError: states is below 1.
    """
    if states < 1:
        raise ValueError(f"states must be 1 or more; got {states}")
    right = states + 1
    outcomes = {
        (state, 0): [
            Outcome(0.5, state - 1, 0.0),
            Outcome(0.5, state + 1, float(state + 1 == right)),
        ]
        for state in range(1, right)
    }
    start = (states + 1) // 2
    mdp = from_outcomes(outcomes, states=states + 2, start=start, terminal=[0, right])
    picture = "T" + "." * (start - 1) + "S" + "." * (states - start) + "T"
    return World("random_walk", mdp, (1, states + 2), ("step",), (picture,))


def maximisation_bias(arms: int = 10) -> World:
    """The chain of Example 6.7, where the largest of many noisy estimates misleads.

    ## Description
    Four cells in a row: an end, B, A, an end. From A, right ends the episode with reward 0 and
    left leads to B with reward 0. From B, each of the arms ends it with a noisy reward.

    ## Action Space
    In A: 0 left, 1 right. In B: 0 to `arms` - 1. Other actions are not allowed;
    `info["action_mask"]` says which are.

    ## Observation Space
    The cell: 0 an end, 1 is B, 2 is A, 3 an end.

    ## Rewards
    0 from A; from B normal with mean -0.1 and standard deviation 1. So going left costs 0.1 in
    the mean, and is always a mistake.

    ## Starting State
    2, which is A.

    ## Episode End
    Terminated at either end, after one or two steps.

    ## Arguments
    arms: actions in B, 1 or more. The book says "many" and gives no number.

    Raises:
        ValueError: arms is below 1.
    """
    if arms < 1:
        raise ValueError(f"arms must be 1 or more; got {arms}")
    outcomes = {(1, arm): [Outcome(1.0, 0, -0.1, 1.0)] for arm in range(arms)}
    outcomes |= {(2, 0): [Outcome(1.0, 1, 0.0)], (2, 1): [Outcome(1.0, 3, 0.0)]}
    mdp = from_outcomes(outcomes, states=4, start=2, terminal=[0, 3])
    others = tuple(f"arm {arm}" for arm in range(2, arms))
    return World("maximisation_bias", mdp, (1, 4), ("left", "right", *others), ("TBAT",))
