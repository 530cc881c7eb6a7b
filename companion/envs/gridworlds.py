"""The worlds of Sutton and Barto's book (2nd ed. 2018), each as a picture and its tables.

A state is the number of a cell, row by row from the top left. `companion.envs.tables` makes
environments of these worlds.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from companion.envs.chains import maximisation_bias, random_walk
from companion.envs.finite import Outcome, from_outcomes
from companion.envs.world import World

__all__ = ["WORLDS", "World", "cliff", "dyna_maze", "maximisation_bias", "random_walk", "windy"]

MOVES = {
    "up": (-1, 0),
    "right": (0, 1),
    "down": (1, 0),
    "left": (0, -1),
    "up-right": (-1, 1),
    "down-right": (1, 1),
    "down-left": (1, -1),
    "up-left": (-1, -1),
    "stay": (0, 0),
}
FOUR = ("up", "right", "down", "left")
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)


def _grid(
    name: str,
    picture: tuple[str, ...],
    actions: tuple[str, ...],
    land: Callable[[int, int], Sequence[Outcome]],
) -> World:
    """A world in which every action is allowed. `land(state, action)` gives the outcomes."""
    symbols = "".join(picture)
    outcomes = {
        (state, action): land(state, action)
        for state, symbol in enumerate(symbols)
        for action in range(len(actions))
        if symbol != "G"
    }
    goals = [state for state, symbol in enumerate(symbols) if symbol == "G"]
    start = symbols.index("S")
    mdp = from_outcomes(outcomes, states=len(symbols), start=start, terminal=goals)
    return World(name, mdp, (len(picture), len(picture[0])), actions, picture)


def _move(shape: tuple[int, int], state: int, action: str, wind: int = 0) -> int:
    """The cell after a move and the wind, together; the edge of the grid stops both."""
    row, column = divmod(state, shape[1])
    down, right = MOVES[action]
    row = min(max(row + down - wind, 0), shape[0] - 1)
    column = min(max(column + right, 0), shape[1] - 1)
    return row * shape[1] + column


def cliff() -> World:
    """The cliff of Example 6.6, where Q-learning walks the edge and Sarsa keeps away from it.

    ## Description
    A grid of 4 by 12 cells. The bottom row between start and goal is a cliff of 10 cells. Who
    steps into it falls and is back at the start; the episode goes on.

    ## Action Space
    0 up, 1 right, 2 down, 3 left. A move off the grid leaves the agent where it is.

    ## Observation Space
    The cell, 0 to 47. The agent never stands on a cliff cell.

    ## Rewards
    -1 a step, -100 for a step into the cliff.

    ## Starting State
    36, the bottom left cell.

    ## Episode End
    Terminated in 47, the bottom right cell. Nothing else ends it. The shortest way has 13 steps.

    ## Arguments
    None.
    """
    picture = ("." * 12, "." * 12, "." * 12, "S" + "C" * 10 + "G")
    symbols = "".join(picture)

    def land(state: int, action: int) -> list[Outcome]:
        cell = _move((4, 12), state, FOUR[action])
        falls = symbols[cell] == "C"
        return [Outcome(1.0, 36, -100.0) if falls else Outcome(1.0, cell, -1.0)]

    return _grid("cliff", picture, FOUR, land)


def windy(moves: int = 4, stochastic: bool = False) -> World:
    """The windy grid of Example 6.5 and Exercises 6.9 and 6.10.

    ## Description
    A grid of 7 by 10 cells. In each column a wind pushes the agent up by 0, 0, 0, 1, 1, 1, 2, 2,
    1, 0 cells. The wind of the cell that the agent leaves counts.

    ## Action Space
    0 up, 1 right, 2 down, 3 left; with king's moves also 4 up-right, 5 down-right, 6 down-left,
    7 up-left; with nine moves also 8 stay. The edge stops move and wind together.

    ## Observation Space
    The cell, 0 to 69.

    ## Rewards
    -1 a step.

    ## Starting State
    30, at (3, 0).

    ## Episode End
    Terminated in 37, at (3, 7). The shortest way has 15 steps, with king's moves 7.

    ## Arguments
    moves: 4, 8 or 9. stochastic: where a wind blows, its strength is one less, as said, or one
    more, each with probability 1/3.

    Raises:
        ValueError: moves is none of 4, 8 and 9.
    """
    if moves not in (4, 8, 9):
        raise ValueError(f"moves must be 4, 8 or 9; got {moves}")
    free = "." * 10
    picture = (free, free, free, "S......G..", free, free, free)
    actions = tuple(MOVES)[:moves]

    def land(state: int, action: int) -> list[Outcome]:
        wind = WIND[state % 10]
        gusts = (wind - 1, wind, wind + 1) if stochastic and wind else (wind,)
        cells = [_move((7, 10), state, actions[action], gust) for gust in gusts]
        return [Outcome(1 / len(cells), cell, -1.0) for cell in cells]

    return replace(_grid("windy", picture, actions, land), wind=WIND)


def dyna_maze() -> World:
    """The maze of Example 8.1 (Figure 8.2), for planning with a model.

    ## Description
    A grid of 6 by 9 cells with 7 walls. A move into a wall or off the grid changes nothing.

    ## Action Space
    0 up, 1 right, 2 down, 3 left.

    ## Observation Space
    The cell, 0 to 53. The agent never stands on a wall.

    ## Rewards
    +1 for the step into the goal, 0 otherwise. The book discounts with gamma = 0.95.

    ## Starting State
    18, at (2, 0).

    ## Episode End
    Terminated in 8, at (0, 8). The shortest way has 14 steps.

    ## Arguments
    None.
    """
    picture = (".......#G", "..#....#.", "S.#....#.", "..#......", ".....#...", ".........")
    symbols = "".join(picture)

    def land(state: int, action: int) -> list[Outcome]:
        cell = _move((6, 9), state, FOUR[action])
        cell = state if symbols[cell] == "#" else cell
        return [Outcome(1.0, cell, float(symbols[cell] == "G"))]

    return _grid("dyna_maze", picture, FOUR, land)


WORLDS: dict[str, Callable[..., World]] = {
    "cliff": cliff,
    "windy": windy,
    "random_walk": random_walk,
    "dyna_maze": dyna_maze,
    "maximisation_bias": maximisation_bias,
}
