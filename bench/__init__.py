"""Time of training steps and predictions against other libraries, and what explains it."""
