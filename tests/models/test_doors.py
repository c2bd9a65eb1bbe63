"""The doors to timm and transformers: what they say where the packages or the network are missing, and what they do
where they are there. Models are tiny and begin from random weights; nothing is downloaded."""

import importlib
import json
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from errata import models
from errata.errors import DataError, LoadError, MissingExtraError, UnknownNameError


def usable(package):
    """Import an optional package; one that is there but does not fit the installed torch counts as missing."""
    try:
        return importlib.import_module(package)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{package} cannot be imported here: {error}")


@pytest.mark.parametrize(("door", "package", "extra"), [("timm", "timm", "vision"), ("hf", "transformers", "text")])
def test_a_missing_package_names_the_extra(door, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # Python's own way of saying: cannot be imported
    with pytest.raises(
        MissingExtraError, match=rf"'{door}:some-model' needs the package '{package}'.*errata\[{extra}\]"
    ):
        models.build(f"{door}:some-model", 3)


def test_importing_the_room_opens_no_door():
    code = "import sys, errata.models; print(sorted({'timm', 'transformers', 'torchvision'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_transformer_takes_ids_or_a_dict_and_masks_its_padding(bert):
    model = models.build(f"hf:{bert}", 3).eval()
    ids = torch.tensor([[2, 4, 1, 1], [3, 4, 2, 4], [1, 1, 1, 1]])
    logits = model(ids)
    assert logits.shape == (3, 3)
    assert logits.dtype == torch.float32
    assert model.features(ids).shape == (3, 8)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits[:1], model(ids[:1, :2]))
    torch.testing.assert_close(logits[:2], model({"input_ids": ids[:2], "attention_mask": (ids[:2] != 1).long()}))
    torch.testing.assert_close(logits, model({"input_ids": ids}))


def test_every_parameter_of_a_transformer_gets_a_gradient(bert):
    model = models.build(f"hf:{bert}", 3, dropout=0.0)
    F.cross_entropy(model(torch.tensor([[2, 4], [3, 4]])), torch.tensor([0, 1])).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_a_transformer_is_rebuilt_without_its_folder(bert):
    model = models.build(f"hf:{bert}", 3).eval()
    spec = json.loads(json.dumps(model.spec).replace(str(bert), "gone-for-good"))
    again = models.from_spec(spec).eval()
    again.load_state_dict(model.state_dict())
    ids = torch.tensor([[2, 4, 1, 1]])
    assert torch.equal(again(ids), model(ids))


def test_pretrained_weights_are_read_and_random_ones_are_not_them(bert):
    one, two = (models.build(f"hf:{bert}", 3) for _ in range(2))
    random = models.build(f"hf:{bert}", 3, pretrained=False)
    key = "embeddings.word_embeddings.weight"
    assert torch.equal(one.body.state_dict()[key], two.body.state_dict()[key])
    assert not torch.equal(one.body.state_dict()[key], random.body.state_dict()[key])


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_decoders_and_encoders_of_encoder_decoders_serve_too(kind):
    transformers = usable("transformers")
    small = {
        "gpt2": transformers.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=16),
        "t5": transformers.T5Config(vocab_size=20, d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2),
    }
    model = models.build(f"hf:{kind}", 3, config=small[kind].to_dict()).eval()
    assert model(torch.randint(2, 20, (2, 5))).shape == (2, 3)
    assert models.from_spec(model.spec).num_features == 8


def test_a_transformer_refuses_what_are_no_ids(bert):
    model = models.build(f"hf:{bert}", 3)
    with pytest.raises(DataError, match="input_ids"):
        model({"pixel_values": torch.zeros(1, 3)})
    with pytest.raises(DataError, match=r"token ids \(B, L\)"):
        model(torch.zeros(3, dtype=torch.int64))


def test_tokens_of_texts(bert):
    ids = models.tokenize(str(bert), ["good film", "bad", "good good good bad"], max_length=3)
    assert ids.tolist() == [[2, 4, 1], [3, 1, 1], [2, 2, 2]]
    assert models.tokenize(str(bert), []).shape == (0, 1)


def test_a_transformer_that_cannot_be_fetched_is_told_in_one_paragraph(monkeypatch, tmp_path):
    usable("transformers")
    with pytest.raises(LoadError, match=r"'hf:.*no-such-model' could not be loaded .* give the path of a folder"):
        models.build(f"hf:{tmp_path}/no-such-model", 3)
    with pytest.raises(LoadError, match="The tokenizer of"):
        models.tokenize(f"{tmp_path}/no-such-model", ["a"])


def test_a_timm_model_classifies_and_is_rebuilt_without_weights():
    usable("timm")
    for name in ("resnet10t", "mobilenetv3_small_050"):
        model = models.build(f"timm:{name}", 3, (1, 32, 32), pretrained=False).eval()
        assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
        assert model.features(torch.zeros(2, 1, 32, 32)).shape == (2, model.num_features)
        assert model.spec["kwargs"] == {"num_classes": 3, "in_channels": 1, "pretrained": False}
        models.from_spec(json.loads(json.dumps(model.spec))).load_state_dict(model.state_dict())


def test_options_go_through_to_timm_and_into_the_spec():
    usable("timm")
    model = models.build("timm:vit_tiny_patch16_224", 3, (3, 32, 32), pretrained=False, img_size=32, depth=1)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    assert model.spec["kwargs"]["img_size"] == 32
    models.from_spec(model.spec).load_state_dict(model.state_dict())


def test_a_timm_name_that_is_none_gets_a_suggestion():
    usable("timm")
    with pytest.raises(UnknownNameError, match=r"no model of timm named 'resnet50x'. Did you mean 'resnet50"):
        models.build("timm:resnet50x", 3)


def test_weights_of_timm_that_cannot_be_fetched_are_told_in_one_paragraph(monkeypatch):
    timm = usable("timm")

    def unreachable(*args, **kwargs):
        raise FileNotFoundError("cannot find the requested files in the local cache")

    # What timm does without a network, but without its minutes of retries.
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(LoadError, match=r"'timm:resnet10t' could not be loaded .* pretrained=False"):
        models.build("timm:resnet10t", 3)


def test_an_option_that_timm_does_not_know_is_told():
    usable("timm")
    with pytest.raises(LoadError, match=r"no_such_option.* Check the name, the options"):
        models.build("timm:resnet10t", 3, pretrained=False, no_such_option=1)
