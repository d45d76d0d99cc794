"""The callbacks inside `fit`."""

import csv
import warnings

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests.helpers import compile_model

X = np.random.default_rng(0).normal(size=(32, 6, 2)).astype("float32")
Y = X.sum(axis=(1, 2))[:, None]


def compiled(*layers, optimizer=None):
    model = keras.Sequential([keras.Input((6, 2)), *layers, keras.layers.Dense(1)])
    # A step of this length leaves an average of past kernels far from the set.
    return compile_model(model, optimizer or keras.optimizers.Adam(0.05), "mse")


def fit(model, callbacks, **kwargs):
    return model.fit(
        X, Y, epochs=2, batch_size=8, verbose=0, callbacks=callbacks, **kwargs
    )


def test_monitor_logs_what_the_diagnostics_say(tmp_path):
    model = compiled(ku.ContractiveRNN(4, max_norm=0.8))
    path = tmp_path / "log.csv"
    log = keras.callbacks.CSVLogger(str(path))
    history = fit(model, [ku.callbacks.UnitarityMonitor(), log]).history
    layer = model.layers[0]
    assert len(history["spectral_norm"]) == 2
    assert history["spectral_norm"][-1] == ku.diagnostics.spectral_norm(layer)
    assert history["unitarity_error"][-1] == ku.diagnostics.unitarity_error(layer)
    assert history["spectral_norm"][0] <= 0.8 * (1 + 1e-6)
    with path.open() as file:
        assert "spectral_norm" in next(csv.reader(file))


def test_monitor_shows_in_the_progress_bar(capsys):
    model = compiled(ku.UnitaryRNN(4))
    model.fit(X, Y, verbose=2, callbacks=[ku.callbacks.UnitarityMonitor()])
    printed = capsys.readouterr().out
    assert "unitarity_error: " in printed
    assert "spectral_norm: 1.0000" in printed


def test_monitor_names_each_of_several_matrices():
    dense = keras.layers.Dense(
        3, kernel_constraint=ku.UnitaryProjection(), name="square"
    )
    wide = keras.layers.Dense(5, kernel_constraint=ku.UnitaryProjection(), name="wide")
    computed = ku.UnitaryRNN(
        3, parametrization="cayley", name="first", return_sequences=True
    )
    model = compiled(computed, ku.ContractiveRNN(3, name="second"), dense, wide)
    ku.project(model)  # which a first step of training would do
    callback, logs = ku.callbacks.UnitarityMonitor(), {}
    callback.set_model(model)
    callback.on_epoch_end(0, logs)
    names = ["first", "second", "square/kernel", "wide/kernel"]
    for logged, of in (("unitarity_error", names), ("determinant_sign", names[::2])):
        keys = sorted(key for key in logs if key.startswith(f"{logged}/"))
        assert keys == [f"{logged}/{name}" for name in of]
    assert logs["unitarity_error/square/kernel"] <= 1e-6
    sign = ku.diagnostics.determinant_sign(model.layers[0])
    assert logs["determinant_sign/first"] == sign


def test_monitor_refuses_a_model_with_nothing_to_watch():
    with pytest.raises(ValueError, match="must be given a model with a projected"):
        fit(compiled(keras.layers.SimpleRNN(3)), [ku.callbacks.UnitarityMonitor()])


def unitarity_after_averaging(callbacks):
    optimizer = keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9)
    model = compiled(ku.UnitaryRNN(4), optimizer=optimizer)
    fit(model, callbacks)
    return ku.diagnostics.unitarity_error(model.layers[0])


def test_reapply_constraints_makes_averaging_safe():
    assert unitarity_after_averaging([]) > 1e-3, "the premise: averaging breaks it"
    assert unitarity_after_averaging([ku.callbacks.ReapplyConstraints()]) <= 1e-6


def test_reapply_constraints_leaves_other_weights_alone():
    model = compiled(keras.layers.SimpleRNN(3))
    before = model.get_weights()
    callback = ku.callbacks.ReapplyConstraints()
    callback.set_model(model)
    callback.on_train_end()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_monitor_takes_a_model_that_its_first_batch_builds():
    model = keras.Sequential([ku.UnitaryRNN(3), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert "spectral_norm" in fit(model, [ku.callbacks.UnitarityMonitor()]).history


def averaging():
    return keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9)


def assign(model):
    """Take the kernel off its set, as other optimizers do."""
    model.layers[0].cell.recurrent_kernel.assign(2.0 * np.eye(4))


class AtEnd(keras.callbacks.Callback):
    """Does something to the model at the end of each epoch, as a bypass would."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def on_epoch_end(self, epoch, logs=None):
        self.change(self.model)


# The optimizer, what is done at each epoch's end, the cause that is named.
LEFT = {
    "averages": (averaging, lambda model: None, "has `use_ema=True`.*ReapplyConstr"),
    "others": (lambda: "adam", assign, "bypasses them.*`keras_urnn.project"),
    "frozen": (lambda: "adam", assign, "It is frozen.*`keras_urnn.project"),
}


@pytest.mark.parametrize("cause", LEFT)
@pytest.mark.parametrize("make", [ku.UnitaryRNN, ku.ContractiveRNN])
def test_monitor_warns_once_of_what_left_its_set(make, cause):
    make_optimizer, change, expected = LEFT[cause]
    # Above the bound after one long step; the average of a kernel never is.
    layer = make(4) if cause != "averages" else ku.UnitaryRNN(4)
    layer.trainable = cause != "frozen"
    model = compiled(layer, dense(), optimizer=make_optimizer())
    message = rf"{layer.cell.recurrent_kernel.path}.*: no longer on the set.*{expected}"
    with pytest.warns(RuntimeWarning, match=message) as caught:
        fit(model, [AtEnd(change), ku.callbacks.UnitarityMonitor()])
    assert len([one for one in caught if "on the set" in str(one.message)]) == 1


def test_monitor_warns_of_nothing_on_its_set():
    model = compiled(ku.UnitaryRNN(4), dense(), optimizer=averaging())
    mended = [ku.callbacks.ReapplyConstraints(), ku.callbacks.UnitarityMonitor()]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fit(model, mended)
        model = compiled(ku.ContractiveRNN(4, max_norm=0.7), optimizer="sgd")
        fit(model, [ku.callbacks.UnitarityMonitor()])


def dense():
    return keras.layers.Dense(9, kernel_constraint=ku.UnitaryProjection())


def test_reapply_constraints_applies_those_of_keras_too():
    layer = keras.layers.SimpleRNN(3, kernel_constraint="non_neg")
    model = compiled(layer, dense())
    layer.cell.kernel.assign(-np.ones((2, 3)))
    callback = ku.callbacks.ReapplyConstraints()
    callback.set_model(model)
    callback.on_train_end()
    np.testing.assert_array_equal(layer.cell.kernel, np.zeros((2, 3)))


def test_monitor_refuses_logs_of_another_kind():
    callback = ku.callbacks.UnitarityMonitor()
    callback.set_model(compiled(ku.UnitaryRNN(2)))
    with pytest.raises(TypeError, match="`logs` must be a dict or None"):
        callback.on_epoch_end(0, logs=np.zeros(3))
