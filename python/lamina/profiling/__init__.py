"""Where the time of a model goes: by layer, by operation, against what the machine can do."""

from lamina.profiling.options import ProfileOptions
from lamina.profiling.profile import Profile
from lamina.profiling.records import Buffer, LayerTimes, Limits, OpTimes, StepTimes
from lamina.profiling.run import FitProfiler, profile

__all__ = [
    "Buffer",
    "FitProfiler",
    "LayerTimes",
    "Limits",
    "OpTimes",
    "Profile",
    "ProfileOptions",
    "StepTimes",
    "profile",
]
