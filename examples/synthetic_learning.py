"""Training one model on one realization of the synthetic task."""

import time
from functools import lru_cache
from typing import Any, NamedTuple

import keras
import machine
import numpy as np
import synthetic_system as task
from free_rnn import free_rnn

import keras_urnn as ku

LAYERS = {
    "rnn": free_rnn,
    "urnn": ku.UnitaryRNN,
    "lstm": keras.layers.LSTM,
}


class Recipe(NamedTuple):
    """How a model is trained, beside the settings that all trials share."""

    decays: bool  # the learning rate, to 0 along a cosine
    clipnorm: float | None  # of all gradients together
    start: str  # of the recurrent kernel


RECIPES = {
    "poster": Recipe(decays=False, clipnorm=None, start="orthogonal"),
    "identity": Recipe(decays=False, clipnorm=None, start="identity"),
    "ours": Recipe(decays=True, clipnorm=1.0, start="identity"),
}


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the least validation loss."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch, self.loss = 0, np.inf

    def on_train_begin(self, logs: Any = None) -> None:
        self.weights = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if logs["val_loss"] < self.loss:  # False where it is not a number
            self.epoch, self.loss = epoch + 1, logs["val_loss"]
            self.weights = self.model.get_weights()


# The next model in the same process often learns the same.
draw = lru_cache(maxsize=1)(task.draw_data)


def build_model(kind: str, units: int, system: task.Recipe, start: str) -> Any:
    """Return the learner (sequences, steps, inputs) -> (sequences, steps, outputs)."""
    if kind == "lstm":
        start = "orthogonal"  # by any recipe: its kernel holds those of four gates
    layer = LAYERS[kind](units, recurrent_initializer=start, return_sequences=True)
    inputs = keras.Input((system.length, system.inputs))
    return keras.Sequential([inputs, layer, keras.layers.Dense(system.outputs)])


def optimizer(recipe: Recipe, rate: float, steps: int) -> keras.optimizers.Optimizer:
    """Return Adam, for so many steps."""
    if recipe.decays:
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.Adam(rate, global_clipnorm=recipe.clipnorm)


def learn(trial: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Train one model on one realization; return what came out."""
    system, recipe = task.Recipe(**settings["system"]), RECIPES[trial["recipe"]]
    data = draw(system, trial["snr"], settings["seed"], trial["realization"])
    x, y = data.x.astype("float32"), data.y.astype("float32")
    first, second = split(system.sequences, settings["test_ratio"])
    # Else the process keeps each model, and what was compiled for it.
    keras.utils.clear_session()
    keras.utils.set_random_seed((settings["seed"] + trial["realization"]) % 2**32)
    model = build_model(trial["model"], trial["units"], system, recipe.start)
    steps = settings["epochs"] * -(-first // settings["batch_size"])
    model.compile(
        optimizer(recipe, settings["learning_rate"], steps),
        "mse",
        # `torch.compile` would write out the steps of the loop.
        jit_compile=keras.config.backend() != "torch",
    )
    best = BestEpoch()
    start = time.perf_counter()
    history = model.fit(
        x[:first],
        y[:first],
        batch_size=settings["batch_size"],
        epochs=settings["epochs"],
        validation_data=(x[first:second], y[first:second]),
        validation_batch_size=second - first,
        callbacks=[best],
        verbose=0,
    ).history
    seconds = time.perf_counter() - start
    last = score(model, data, second)
    model.set_weights(best.weights)
    return {
        **score(model, data, second),
        "best_epoch": best.epoch,
        "last_epoch": last,
        "diverged": bool(not last["r2_about_zero"] > 0.0),
        "parameters": model.count_params(),
        "validation_loss": float(best.loss),
        "on": np.round(data.on, 4).tolist(),
        "measured_snr": round(data.snr, 3),
        "epochs": len(history["loss"]),
        "seconds": round(seconds, 1),
        "settings": settings,
        "environment": machine.environment(),
    }


def split(sequences: int, test_ratio: float) -> tuple[int, int]:
    """Return where the validation, a seventh of what is no test, and the test begin."""
    test = round(sequences * (1.0 - test_ratio))
    return test - round(test / 7), test


def score(model: Any, data: task.Data, first: int) -> dict[str, float]:
    """Return both R² of a model on the test sequences."""
    predicted = model.predict(data.x[first:], batch_size=100, verbose=0)
    return task.r_squared(data.y[first:], predicted.astype("float64"))
