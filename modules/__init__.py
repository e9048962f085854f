import os
from importlib.util import find_spec

# a notebook names its own backend to every program that it starts; without that package, matplotlib does not load
if not find_spec("matplotlib_inline"):
    os.environ.pop("MPLBACKEND", None)
