"""The report of `verify_equivalence`: it is read, printed and saved."""

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class EquivalenceReport:
    """The result of `verify_equivalence`; it prints as a short table.

    Attributes:
        max_absolute_difference: float. The largest `|y - y'|` over all runs in the
            dtype of the two.
        max_relative_difference: float. The largest `max|y - y'| / max|y|` of such a
            run.
        unitarity_error: float or `None`. The largest `max|UᵀU - I|` of a unitary cell
            of the converted one; `None` where it has none.
        states_before: integer. Recurrent states of the original.
        states_after: integer. Recurrent states of the converted one.
        largest_added_state: float. The largest distance of an added state from its
            rest; exactly 0 in an equivalent conversion.
        smallest_distance: float. The smallest distance of an added state from
            switching on, over all runs: how far its pre-activation stays from the
            end of the half-line.
        largest_added_bias: float. The largest `|b|` of an added state; 0 if there is
            none.
        horizon: integer or `None`. The number of steps since the last reset for which
            alone the proof holds; `None` for any number.
        relative_difference_in_float64: float or `None`. The largest
            `max|y - y'| / max|y|` of a run of two cells in float64; `None` where only
            whole layers or models were run. Defaults to `None`.
        reasons: tuple of strings. Why the two are not equivalent, or not proved to be;
            empty if they are. Defaults to `()`.
        differences: tuple of strings. Those of the reasons that refute: outputs that
            differ by more than rounding, or inputs or outputs of another shape.
            Defaults to `()`.
    """

    max_absolute_difference: float
    max_relative_difference: float
    unitarity_error: float | None
    states_before: int
    states_after: int
    largest_added_state: float
    smallest_distance: float
    largest_added_bias: float
    horizon: int | None
    relative_difference_in_float64: float | None = None
    reasons: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def equivalent(self) -> bool:
        """Whether the two are proved to be equivalent, and no run contradicts that."""
        return not self.reasons

    @property
    def verdict(self) -> str:
        """`"equivalent"`, `"different"`, or `"not decided"` where neither was shown."""
        if self.equivalent:
            return "equivalent"
        return "different" if self.differences else "not decided"

    def __str__(self) -> str:
        rows = [
            ("verdict", self.verdict),
            ("largest absolute difference", f"{self.max_absolute_difference:.3g}"),
            ("largest relative difference", f"{self.max_relative_difference:.3g}"),
            ("the same in float64", _digits(self.relative_difference_in_float64)),
            ("unitarity error", _digits(self.unitarity_error)),
            ("states before, after", f"{self.states_before}, {self.states_after}"),
            ("largest added state", f"{self.largest_added_state:.3g}"),
            ("smallest distance from on", f"{self.smallest_distance:.3g}"),
            ("largest added bias", f"{self.largest_added_bias:.3g}"),
        ]
        if self.horizon is not None:
            rows.append(("steps since a reset", f"{self.horizon} at most"))
        lines = [f"{name:<28} {value}" for name, value in rows]
        return "\n".join(lines + [f"- {reason}" for reason in self.reasons])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON; numbers that aren't finite are written as null.

        Args:
            path: string or path of the file. It is replaced as a whole.
        """
        found = {
            "equivalent": self.equivalent,
            "verdict": self.verdict,
            **asdict(self),
        }
        for name, value in found.items():
            if isinstance(value, float) and not math.isfinite(value):
                found[name] = None
        part = Path(f"{os.fspath(path)}.part")
        part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
