"""What a mask store promises: originals, undo, and the state of a checkpoint whenever a run is killed."""

from __future__ import annotations

import copy
import json
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from errata.errors import DataError, LoadError, ParameterError
from errata.parts import MaskStore, PixelEvidence

N, SIZE = 6, (5, 7)


def masks(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (N, *SIZE)).astype(np.uint8))


def change(store: MaskStore, seed: int) -> None:
    with store.revision() as revision:
        rows = np.random.default_rng(seed).permutation(N)[:3]
        revision.put(rows, masks(seed)[rows])


def everything(store: MaskStore) -> torch.Tensor:
    return store.current(np.arange(N)).clone()


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path):
    made = MaskStore(N, None if request.param == "memory" else tmp_path / "masks", SIZE)
    made.remember(torch.arange(N), masks(0))
    return made


def test_every_revision_can_be_gone_back_to_and_forth(store):
    states = [everything(store)]
    for seed in (1, 2, 3):
        change(store, seed)
        states.append(everything(store))
    assert [entry["generation"] for entry in store.history()] == [1, 2, 3]
    assert all(entry["images"] == 3 and entry["pixels"] > 0 for entry in store.history())
    for generation in (1, 3, 0, 2):
        store.restore(generation)
        assert torch.equal(everything(store), states[generation])
    store.undo()
    assert torch.equal(everything(store), states[1])
    assert torch.equal(store.given(range(N)), masks(0))
    change(store, 4)  # from the first revision: the others are forgotten
    assert store.generation == 2
    with pytest.raises(LoadError, match="2 revisions, and revision 3"):
        store.restore(3)


def test_a_block_that_fails_changes_nothing(store):
    before = everything(store)
    with pytest.raises(AttributeError), store.revision() as revision:
        revision.put([0], masks(5)[:1]).no_number()
    assert store.generation == 0
    assert torch.equal(everything(store), before)


def test_masks_that_differ_from_epoch_to_epoch_are_refused(store):
    with pytest.raises(DataError, match=r"image 2 .*not the one that it came with"):
        store.remember(torch.tensor([2]), masks(9)[2:3])
    with pytest.raises(DataError, match="of \\(5, 7\\) pixels"):
        store.remember(torch.tensor([2]), torch.zeros(1, 3, 3))


def test_a_checkpoint_finds_its_revision_again(store, tmp_path):
    change(store, 1)
    saved, then = copy.deepcopy(store.state_dict()), everything(store)
    change(store, 2)
    store.load_state_dict(saved)
    assert torch.equal(everything(store), then)
    change(store, 2)
    assert store.generation == 2


def test_a_folder_is_opened_again_and_its_checkpoint_is_small(tmp_path):
    store = MaskStore(N, tmp_path, SIZE)
    store.fill(masks(0))
    change(store, 1)
    assert sum(t.numel() for t in store.state_dict().values()) == 1
    again = MaskStore(N, tmp_path)
    assert again.size == SIZE
    assert torch.equal(everything(again), everything(store))
    assert torch.equal(everything(pickle.loads(pickle.dumps(store))), everything(store))  # noqa: S301
    with pytest.raises(LoadError, match="6 images"):
        MaskStore(N + 1, tmp_path)
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(LoadError, match="damaged"):
        MaskStore(N, tmp_path)
    with pytest.raises(ParameterError, match="size"):
        MaskStore(N, tmp_path / "new")


@pytest.mark.parametrize("applied", [0, 2, None], ids=["nothing", "a part", "all"])
def test_a_store_that_was_killed_on_the_way_is_whole_again(tmp_path, applied):
    """The state says where it was going; of the way, some pixels were changed already."""
    store = MaskStore(N, tmp_path, SIZE)
    store.fill(masks(0))
    before = everything(store)
    change(store, 1)
    after = everything(store)
    del store
    current = np.load(tmp_path / "current.npy")
    places = np.argwhere((before != after).numpy())
    for place in places[applied:] if applied is not None else []:
        current[tuple(place)] = before[tuple(place)]
    np.save(tmp_path / "current.npy", current)
    state = json.loads((tmp_path / "state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps({**state, "generation": 0, "moving_to": 1}))
    again = MaskStore(N, tmp_path)
    assert torch.equal(everything(again), after)
    again.restore(0)
    assert torch.equal(everything(again), before)


SCRIPT = """
import sys, numpy as np
from errata.parts import MaskStore
store = MaskStore(40, sys.argv[1], (64, 64))
store.fill(np.zeros((40, 64, 64)))
print("go", flush=True)
for number in range(1, 10_000):
    with store.revision() as revision:
        revision.put(np.arange(40), np.full((40, 64, 64), number % 251))
"""


def test_killed_at_any_moment_all_images_are_at_the_same_revision(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    store = MaskStore(40, tmp_path)
    assert (store.current(np.arange(40)) == store.generation % 251).all()
    store.restore(0)
    assert int(store.current(np.arange(40)).sum()) == 0


def test_evidence_repeats_an_interrupted_epoch_from_the_one_before(tmp_path):
    def epoch(evidence, number, rows=range(N)):
        random = torch.Generator().manual_seed(number)
        probabilities = torch.rand(N, 3, *SIZE, generator=random).softmax(1)
        for row in rows:
            evidence.observe(torch.tensor([row]), probabilities[[row]], masks(0)[[row]] % 3, number)

    whole = PixelEvidence(N)
    for number in range(4):
        epoch(whole, number)
    killed = PixelEvidence(N, tmp_path, SIZE)
    for number in range(3):
        epoch(killed, number)
    saved = copy.deepcopy(killed.state_dict())
    assert sum(t.numel() for t in saved.values()) == N + 1
    epoch(killed, 3, rows=range(4))
    resumed = PixelEvidence(N, tmp_path)
    resumed.load_state_dict(saved)
    epoch(resumed, 3)
    for name, values in resumed.read(range(N)).items():
        assert torch.equal(values, whole.read(range(N))[name]), name
    assert resumed.epoch == 3
    with pytest.raises(LoadError, match="another training"):
        PixelEvidence(N + 1, tmp_path)
