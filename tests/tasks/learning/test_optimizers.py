import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from moodreel.schemas.training import OneCycle, TrainingConfig
from moodreel.tasks.learning.optimizers import build_optimizer, descend

RATE = 0.1
GRADIENTS = (torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))  # of the two steps
START = torch.tensor([1.0, 1.0])


def two_steps(**settings: object) -> Tensor:
    config = TrainingConfig.model_validate(
        {
            "network": "debug-cnn",
            "input_px": 48,
            "num_epochs": 1,
            "schedule": OneCycle(peak_rate=1),
            "weight_decay": 0.0,
            **settings,
        }
    )
    weights = Parameter(START.clone())
    optimizer = build_optimizer([weights], config)
    for gradient in GRADIENTS:
        descend(optimizer, (weights * gradient).sum(), RATE, config.gradient_norm)
    return weights.detach()


def test_sgd_momentum_is_the_papers_rule() -> None:
    weights, velocity = START, torch.zeros(2)
    for gradient in GRADIENTS:
        velocity = 0.8 * velocity + gradient
        weights = weights - RATE * velocity
    torch.testing.assert_close(two_steps(nesterov=False, momentum=0.8), weights)


def test_nesterov_looks_ahead_by_one_step_of_momentum() -> None:
    weights, velocity = START, torch.zeros(2)
    for gradient in GRADIENTS:
        velocity = 0.8 * velocity + gradient
        weights = weights - RATE * (gradient + 0.8 * velocity)
    torch.testing.assert_close(two_steps(nesterov=True, momentum=0.8), weights)


def test_sgd_is_plain() -> None:
    torch.testing.assert_close(two_steps(optimizer="sgd"), START - RATE * (GRADIENTS[0] + GRADIENTS[1]))


def test_adagrad_divides_by_the_root_of_all_squares() -> None:
    weights, squares = START, torch.zeros(2)
    for gradient in GRADIENTS:
        squares = squares + gradient**2
        weights = weights - RATE * gradient / squares.sqrt()
    torch.testing.assert_close(two_steps(optimizer="adagrad"), weights)


def test_rmsprop_divides_by_the_root_of_the_mean_square() -> None:
    weights, squares = START, torch.zeros(2)
    for gradient in GRADIENTS:
        squares = 0.99 * squares + 0.01 * gradient**2
        weights = weights - RATE * gradient / squares.sqrt()
    torch.testing.assert_close(two_steps(optimizer="rmsprop"), weights)


def test_adam_corrects_both_means_for_their_start() -> None:
    weights, mean, squares = START, torch.zeros(2), torch.zeros(2)
    for count, gradient in enumerate(GRADIENTS, 1):
        mean = 0.9 * mean + 0.1 * gradient
        squares = 0.999 * squares + 0.001 * gradient**2
        weights = weights - RATE * (mean / (1 - 0.9**count)) / (squares / (1 - 0.999**count)).sqrt()
    torch.testing.assert_close(two_steps(optimizer="adam"), weights)


@pytest.mark.parametrize("name", ["sgd-momentum", "sgd", "adagrad", "rmsprop", "adam"])
def test_weight_decay_reaches_every_optimizer(name: str) -> None:
    assert not torch.equal(two_steps(optimizer=name), two_steps(optimizer=name, weight_decay=0.5))


def test_weight_decay_pulls_to_zero() -> None:
    weights = START
    for gradient in GRADIENTS:
        weights = weights - RATE * (gradient + 0.5 * weights)
    torch.testing.assert_close(two_steps(optimizer="sgd", weight_decay=0.5), weights)


def test_long_gradients_are_shortened_to_the_norm() -> None:
    expected = START - RATE * sum(0.5 * gradient / gradient.norm() for gradient in GRADIENTS)
    torch.testing.assert_close(two_steps(optimizer="sgd", gradient_norm=0.5), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(two_steps(optimizer="sgd", gradient_norm=100.0), two_steps(optimizer="sgd"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_before_it_spoils_the_weights(value: float) -> None:
    weights = Parameter(START.clone())
    with pytest.raises(FloatingPointError, match="lower learning rate"):
        descend(torch.optim.SGD([weights]), (weights * value).sum(), RATE, None)
    assert torch.equal(weights, START)
