"""Make the scripts of `benchmarks/` importable, as they are to each other."""

import sys
from pathlib import Path

# First: `markdown` is also a package, which the benchmarks do not mean.
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
