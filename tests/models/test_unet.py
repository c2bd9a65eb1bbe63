import pytest
import torch

from errata.errors import DataError, ParameterError
from errata.models import UNet


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("size", [(32, 32), (17, 23), (9, 40)])
def test_every_pixel_gets_logits_at_any_size(norm, size):
    model = UNet(5, in_channels=1, width=4, depth=3, norm=norm)
    assert model(torch.zeros(2, 1, *size)).shape == (2, 5, *size)


def test_a_pixel_is_seen_in_its_surroundings_and_all_weights_are_used():
    torch.manual_seed(0)
    model = UNet(2, width=4, depth=2)
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    model(image)[0, 0, 8, 8].backward()
    assert int((image.grad[0].abs().sum(0) > 0).sum()) > 100
    assert all(p.grad is not None for p in model.parameters())


def test_what_is_refused():
    with pytest.raises(ParameterError, match="norm"):
        UNet(2, norm="layer")
    with pytest.raises(ParameterError, match="width"):
        UNet(2, width=0)
    with pytest.raises(DataError, match="Channels come second"):
        UNet(2)(torch.zeros(1, 16, 16, 3))
