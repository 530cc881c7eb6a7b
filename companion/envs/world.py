"""A finite process together with its picture."""

from dataclasses import dataclass

from companion.envs.finite import FiniteMDP


@dataclass(frozen=True, eq=False)
class World:
    """A finite process that can be drawn.

    Attributes:
        name: such as "cliff".
        mdp: its tables, with S = rows * columns states.
        shape: (rows, columns).
        actions: a name for each of the A actions.
        picture: rows of symbols: S start, G goal, T other end, C cliff, # wall, . free.
        wind: cells upwards for each column; empty where no wind blows.
    """

    name: str
    mdp: FiniteMDP
    shape: tuple[int, int]
    actions: tuple[str, ...]
    picture: tuple[str, ...]
    wind: tuple[int, ...] = ()

    def cells(self, symbol: str) -> tuple[int, ...]:
        """The states drawn with a symbol, such as "#" for the walls."""
        return tuple(i for i, found in enumerate("".join(self.picture)) if found == symbol)

    def draw(self, state: int | None = None) -> str:
        """The picture as text, with an x where the agent is."""
        text = [list(row) for row in self.picture]
        if state is not None:
            row, column = divmod(int(state), self.shape[1])
            text[row][column] = "x"
        return "\n".join(" ".join(row) for row in text) + "\n"
