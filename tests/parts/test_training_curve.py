import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.parts.training_curve import CurveMonitor, curve, curve_slope, fit_curve, flat_start, slope_change
from errata.parts.training_curve import update_epoch as update


@given(
    a=st.floats(0.3, 0.95),
    b=st.floats(0.4, 0.99),
    c=st.floats(0.5, 5.0),
)
@settings(max_examples=20, deadline=None)
def test_a_curve_without_noise_is_recovered(a, b, c):
    x = np.linspace(0, 20, 60)
    assert fit_curve(x, curve(x, a, b, c)) == pytest.approx((a, b, c), rel=1e-3)


@given(b=st.floats(0.05, 1.0), c=st.floats(0.1, 10.0))
def test_slopes_fall_so_the_change_rises(b, c):
    epochs = np.arange(1, 30)
    assert (np.diff(curve_slope(epochs, 1.0, b, c)) <= 0).all()
    assert (np.diff(slope_change(epochs, 1.0, b, c)) >= -1e-12).all()


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_extremes_of_r(seed):
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 12, 40)
    values = curve(x, 0.8, 0.8, 2.0) + 0.01 * rng.normal(size=40)
    assert update(x, values, r=0.0) == 2  # of epoch 1 alone the change is 0
    assert update(x, values, r=1.0) == 16
    assert 2 <= update(x, values, r=0.5) <= update(x, values, r=0.9) <= 16


@pytest.mark.parametrize("values", [[], [float("nan")] * 5])
def test_no_fit_means_not_yet(values):
    assert update(np.arange(len(values)), values) == float("inf")


def test_a_class_without_values_is_never_due():
    assert not CurveMonitor(2).due(1, 100, [], 100)


def test_the_flat_start_is_cut_and_added_back():
    x = np.arange(40)
    rising = curve(x, 0.8, 1.0, 2.0)
    late = np.concatenate([np.full(7, 0.01), rising])
    assert flat_start(late) == 7
    for shift, values in ((0, rising), (7, late)):
        monitor = CurveMonitor(1, cut_flat=0.1)
        monitor["values"] = torch.as_tensor(values)[:, None]
        first = next(e for e in range(len(values)) if monitor.due(0, e, np.arange(len(values)), 100))
        assert first - shift == 6
    flat = CurveMonitor(1, cut_flat=0.1)
    flat["values"] = torch.full((20, 1), 0.05, dtype=torch.float64)
    assert not flat.due(0, 19, np.arange(20), 100)


def test_a_class_that_is_known_after_one_epoch_is_switched_on_too():
    """Road on CamVid, as measured: no rise of a tenth after the first epoch."""
    road = [66, 72, 74, 77, 79, 76, 78, 78, 76, 79, 78, 79, 79, 79, 79, 79, 80, 81, 81, 81, 82, 83, 83, 83, 84, 85, 85]
    monitor = CurveMonitor(1, cut_flat=0.1)
    first = None
    for epoch, value in enumerate(road):
        monitor["values"] = torch.cat([monitor["values"], torch.tensor([[value / 100]], dtype=torch.float64)])
        if monitor.switch_on([0], epoch, np.linspace(0, epoch + 1, epoch + 1), last=30):
            first = epoch
    assert first == 5


def test_once_on_a_class_stays_on_and_comes_back_from_a_checkpoint():
    monitor = CurveMonitor(3)
    monitor["values"] = torch.as_tensor(curve(np.linspace(0, 10, 30), 0.8, 1.0, 1.0))[:, None].repeat(1, 3)
    assert monitor.switch_on([1, 2], epoch=9, x=np.linspace(0, 10, 30), last=16) == [1, 2]
    assert monitor.switch_on([1, 2], epoch=10, x=np.linspace(0, 10, 30), last=16) == []
    other = CurveMonitor(3)
    other.load_state_dict(monitor.state_dict())
    assert other.on_since.tolist() == [-1, 9, 9]
    assert (other.curves == monitor.curves).all()
