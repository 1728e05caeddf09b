"""keras.mixed_precision: 16-bit policies and the scaling of the loss that float16 needs."""

from lamina.config import dtype_policy, set_dtype_policy
from lamina.dtype_policies import DTypePolicy
from lamina.optimizers import LossScaleOptimizer

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]
