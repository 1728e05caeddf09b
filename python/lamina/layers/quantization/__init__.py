"""Layers with weights of few bits: one file for each way, and one for each kind of layer."""
