"""The peers of PyTorch, written as well as can be: its own RNN, and orthogonal ones."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from contestants import (
    CLASSES,
    LEARNING_RATE,
    SEED,
    STREAMED,
    Entry,
    Shape,
    data,
)
from measuring import rounds
from torch.nn.utils import parametrize

Rounds = Iterator[dict[str, Any]]


class BuiltInRNN(torch.nn.Module):
    """`torch.nn.RNN`, whose loop is C++."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.rnn = torch.nn.RNN(
            shape.features, shape.units, nonlinearity="relu", batch_first=True
        )
        torch.nn.init.orthogonal_(self.rnn.weight_hh_l0)
        self.top = torch.nn.Linear(shape.units, CLASSES)

    def forward(self, x: Any) -> Any:
        return self.top(self.rnn(x)[1][0])

    def step(self, x: Any, h: Any) -> Any:
        return self.rnn(x[:, None], h[None])[1][0]


class OrthogonalRNN(torch.nn.Module):
    """An orthogonal matrix by a peer, in a loop: how expRNN is written today.

    The matrix is computed once for a sequence, the inputs are projected at once, and
    unbound: to index `x[:, t]` makes the backward pass quadratic in the steps.
    """

    def __init__(self, shape: Shape, constrain: Callable[..., Any]) -> None:
        super().__init__()
        self.input = torch.nn.Linear(shape.features, shape.units)
        self.recurrent = torch.nn.Linear(shape.units, shape.units, bias=False)
        constrain(self.recurrent, "weight")
        self.top = torch.nn.Linear(shape.units, CLASSES)

    def forward(self, x: Any) -> Any:
        with parametrize.cached():
            w = self.recurrent.weight.T
            h = x.new_zeros(x.shape[0], w.shape[0])
            for z in self.input(x).unbind(1):
                h = torch.addmm(z, h, w).relu_()
        return self.top(h)

    def step(self, x: Any, h: Any) -> Any:
        return torch.addmm(self.input(x), h, self.recurrent.weight.T).relu_()


class TorchRNNTrial:
    """Times a module in the loop that PyTorch's tutorials show."""

    def __init__(self, entry: Entry, shape: Shape) -> None:
        torch.manual_seed(SEED)
        self.shape, self.net = shape, self._module(shape)

    def _module(self, shape: Shape) -> Any:
        return BuiltInRNN(shape)

    def training(self) -> Rounds:
        batches = self._batches()
        start = {name: value.clone() for name, value in self.net.state_dict().items()}
        optimizer = torch.optim.Adam(self.net.parameters(), lr=LEARNING_RATE)

        def call() -> float:
            x, y = next(batches)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(self.net(x), y)
            loss.backward()
            optimizer.step()
            return loss.item()

        def put_back() -> None:
            self.net.load_state_dict(start)

        yield from rounds(call, self.shape.per_round, put_back)

    def inference(self) -> Rounds:
        batches = self._batches()

        def call() -> object:
            with torch.no_grad():
                return self.net(next(batches)[0]).softmax(-1).numpy()

        yield from rounds(call, self.shape.per_round)

    def streaming(self) -> Rounds:
        x = torch.ones((1, self.shape.features))
        h = torch.zeros((1, self.shape.units))

        def call() -> None:
            nonlocal h
            h = self.net.step(x, h)

        with torch.no_grad(), parametrize.cached():
            yield from rounds(call, STREAMED)

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        x, y = (torch.from_numpy(each) for each in data(self.shape))
        size = self.shape.batch
        return itertools.cycle(zip(x.split(size), y.split(size), strict=True))


class GeotorchTrial(TorchRNNTrial):
    """The same with geotorch's matrix, the exponential of a skew-symmetric one."""

    def _module(self, shape: Shape) -> Any:
        import geotorch

        return OrthogonalRNN(shape, geotorch.orthogonal)


class MatrixExponentialTrial(TorchRNNTrial):
    """The same with PyTorch's own matrix, by one of its three maps."""

    orthogonal_map = "matrix_exp"

    def _module(self, shape: Shape) -> Any:
        orthogonal = torch.nn.utils.parametrizations.orthogonal
        return OrthogonalRNN(
            shape, partial(orthogonal, orthogonal_map=self.orthogonal_map)
        )


class CayleyTrial(MatrixExponentialTrial):
    """By its Cayley map."""

    orthogonal_map = "cayley"


class HouseholderTrial(MatrixExponentialTrial):
    """By its Householder reflections."""

    orthogonal_map = "householder"
