"""What Keras keeps of Keras 2: the older form of configs."""

from lamina.legacy import saving

__all__ = ["saving"]
