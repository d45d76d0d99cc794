"""The half-line on which an activation is constant: there an added state can rest."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FlatActivation:
    """What the conversion needs to know of an activation `φ`.

    It is constant on a half-line, `φ(z) = value` where `side z >= side edge`, exactly
    so as computed. With `κ = excess` it grows no faster than the identity,

        |φ(z)| <= |z| + κ,    φ(z) <= max(z, 0) + κ.

    Where there are two half-lines this is the one with value 0, if any, and the lower.

    Attributes:
        side: integer. -1 where the half-line reaches down, 1 where it reaches up.
        edge: float. Where it ends; the edge itself belongs to it.
        value: float. The constant `c`. Defaults to `0.0`.
        excess: float. `κ`, at least 0. Defaults to `0.0`.
        slope: float. The largest `|φ(y) - φ(z)| / |y - z|`; infinite where `φ` jumps.
            Defaults to `1.0`.
        homogeneous: bool. Whether `φ(d z) = d φ(z)` for all `d > 0`. Defaults to
            `False`.
    """

    side: int
    edge: float
    value: float = 0.0
    excess: float = 0.0
    slope: float = 1.0
    homogeneous: bool = False
