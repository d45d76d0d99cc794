"""Activations of the unitary networks of the literature: modReLU and OPLU."""

from keras_urnn.activations.modrelu import ModReLU
from keras_urnn.activations.oplu import OPLU

__all__ = ["OPLU", "ModReLU"]
