"""Values that cross the border of the model servers; free of HTTP and of any model library."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

# One text's embedding, of length one (L2).
Vector = NDArray[np.float32]

# query: a person waits for it. bulk: ingestion, which gives way.
Priority = Literal["query", "bulk"]
