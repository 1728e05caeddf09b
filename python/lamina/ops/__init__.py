"""`lamina.ops`: NumPy's functions and those of neural networks over the engine's ops.

They work on arrays and tensors at once, on tensors of a model being traced, and on the
`KerasTensor`s of a functional model.
"""

from __future__ import annotations

import sys

from lamina import tensor
from lamina.ops.binary import *  # noqa: F403
from lamina.ops.convolution import *  # noqa: F403
from lamina.ops.core import *  # noqa: F403
from lamina.ops.creation import *  # noqa: F403
from lamina.ops.crossentropy import *  # noqa: F403
from lamina.ops.elementwise import *  # noqa: F403
from lamina.ops.joining import *  # noqa: F403
from lamina.ops.layout import *  # noqa: F403
from lamina.ops.linalg import *  # noqa: F403
from lamina.ops.nn import *  # noqa: F403
from lamina.ops.normalization import *  # noqa: F403
from lamina.ops.reduce import *  # noqa: F403
from lamina.ops.sorting import *  # noqa: F403

tensor.install_operators(sys.modules[__name__])
