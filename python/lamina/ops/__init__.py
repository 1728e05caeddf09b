"""`lamina.ops`: NumPy's functions and those of neural networks over the engine's ops.

They work on arrays and tensors at once, on tensors of a model being traced, and on the
`KerasTensor`s of a functional model.
"""

from __future__ import annotations

import sys

from lamina import tensor
from lamina.ops import image as image
from lamina.ops import linalg as linalg
from lamina.ops import math as math
from lamina.ops import nn as nn
from lamina.ops import numpy as numpy
from lamina.ops.attention import *  # noqa: F403
from lamina.ops.binary import *  # noqa: F403
from lamina.ops.control import *  # noqa: F403
from lamina.ops.convolution import *  # noqa: F403
from lamina.ops.core import *  # noqa: F403
from lamina.ops.creation import *  # noqa: F403
from lamina.ops.crossentropy import *  # noqa: F403
from lamina.ops.ctc import *  # noqa: F403
from lamina.ops.derivatives import *  # noqa: F403
from lamina.ops.einops import *  # noqa: F403
from lamina.ops.elementwise import *  # noqa: F403
from lamina.ops.factors import *  # noqa: F403
from lamina.ops.fourier import *  # noqa: F403
from lamina.ops.integers import *  # noqa: F403
from lamina.ops.joining import *  # noqa: F403
from lamina.ops.layout import *  # noqa: F403
from lamina.ops.linalg import *  # noqa: F403
from lamina.ops.nan import *  # noqa: F403
from lamina.ops.nn import *  # noqa: F403
from lamina.ops.normalization import *  # noqa: F403
from lamina.ops.pooling import *  # noqa: F403
from lamina.ops.rearranging import *  # noqa: F403
from lamina.ops.reduce import *  # noqa: F403
from lamina.ops.scattering import *  # noqa: F403
from lamina.ops.series import *  # noqa: F403
from lamina.ops.sorting import *  # noqa: F403

tensor.install_operators(sys.modules[__name__])
