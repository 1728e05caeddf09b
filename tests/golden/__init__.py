"""Reference values made once with real Keras, and the cases they belong to."""
