"""Which engine runs the fused recurrence on the active backend.

There are three. PyTorch has functions of its own (`torch_engine`). TensorFlow and JAX
share the tensor operations of `keras_urnn.recurrence.blocks`: their loops are compiled
by XLA on JAX and under `jit_compile=True`, and TensorFlow without XLA writes the steps
of a block out one by one.
"""

from collections.abc import Callable
from typing import Any

import keras


def own_engine() -> Callable[..., Any] | None:
    """The recurrence that is written for the active backend alone, or None.

    It takes the arguments of `recurrence.blocks.run` and returns the same.
    """
    if keras.config.backend() != "torch":
        return None
    from keras_urnn._backend import torch_engine

    return torch_engine.run


def compiles_loops() -> bool:
    """Whether XLA compiles the loops: on JAX, on TensorFlow if asked to."""
    backend = keras.config.backend()
    return backend == "jax" or (backend == "tensorflow" and compiles_with_xla())


def takes_long_blocks() -> bool:
    """Whether few long blocks that XLA compiles apart are as fast as many short ones.

    They are on JAX. On TensorFlow a training step takes 8 % longer with them.
    """
    return keras.config.backend() == "jax"


def writes_out() -> bool:
    """Whether a short inner loop is written out: under TensorFlow without XLA."""
    return keras.config.backend() == "tensorflow" and not compiles_with_xla()


def runs_side_by_side() -> bool:
    """Whether two independent loops run at the same time, on two cores.

    XLA runs its loops one after the other, and on a GPU one loop takes the whole of it.
    """
    if not writes_out():
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def compiles_with_xla() -> bool:
    """Whether TensorFlow is tracing a function for XLA (`jit_compile=True`).

    TensorFlow has no public function that tells. If the private one that is asked here
    goes away, loops are written out, which is slower and gives the same numbers.
    """
    import tensorflow as tf

    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        if _is_traced_for_xla(graph):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def _is_traced_for_xla(graph: Any) -> bool:
    context = getattr(graph, "_get_control_flow_context", lambda: None)()
    while context is not None:
        if context.IsXLAContext():
            return True
        context = context.outer_context
    return False
