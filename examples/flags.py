"""The types of the flags: what is refused before anything runs."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import keras


def positive(number_type: Callable[[str], float]) -> Callable[[str], float]:
    """Return an argument type: a number of `number_type`, finite and above 0."""

    def parse(text: str) -> float:
        number = number_type(text)
        if not number > 0:
            raise argparse.ArgumentTypeError(f"must be above 0. Received: {text}")
        if number == math.inf:
            raise argparse.ArgumentTypeError(f"must be finite. Received: {text}")
        return number

    parse.__name__ = number_type.__name__  # argparse says "invalid int value"
    return parse


def fill_in(arguments: argparse.Namespace, defaults: Mapping[str, Any]) -> None:
    """Give each flag that was left out its default."""
    for name, value in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)


def share(text: str) -> float:
    number = float(text)
    if not 0.0 < number < 1.0:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1. Received: {text}")
    return number


def decibels(text: str) -> float:
    number = float(text)
    if not -100.0 <= number <= 100.0:  # what float32 can resolve
        raise argparse.ArgumentTypeError(
            f"must be between -100 and 100. Received: {text}"
        )
    return number


def seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(
            f"must be between 0 and 2**32 - 1. Received: {text}"
        )
    return number


def use_backend(name: str | None) -> None:
    """Start again under a backend: Keras chooses its own when it is imported."""
    if name not in (None, keras.config.backend()):
        os.environ["KERAS_BACKEND"] = name
        os.execv(sys.executable, sys.orig_argv)
