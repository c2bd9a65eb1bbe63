"""Batches: every row once, in an order that depends on seed and epoch only, shared out between processes."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from errata.data import Batches, IndexedDataset, Passes, loader
from errata.data.batches import BatchOrder, balanced_subset
from errata.errors import DataError, ParameterError
from errata.parts import Batch


@settings(deadline=None)
@given(
    total=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    world=st.integers(1, 5),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_the_shares_of_all_processes_make_up_the_batches_of_one(total, batch_size, world, shuffle, drop_last, epoch):
    order = BatchOrder(total, batch_size=batch_size, shuffle=shuffle, seed=7, drop_last=drop_last)
    order.set_epoch(epoch)
    edges = order.bounds(world)
    if len(edges) > 1 and np.diff(edges).min() < world:
        with pytest.raises(DataError, match="processes can't share a batch"):
            list(order.shares(0, world))
        return
    shares = [list(order.shares(rank, world)) for rank in range(world)]
    assert len({len(s) for s in shares}) == 1
    together = [np.concatenate(parts) for parts in zip(*shares, strict=True)]
    for parts in zip(*shares, strict=True):
        sizes = [len(p) for p in parts]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
    served = np.concatenate(together) if together else np.empty(0, dtype=np.int64)
    if drop_last:
        assert all(len(b) == batch_size for b in together)
        assert len(served) == total // batch_size * batch_size
        assert len(set(served.tolist())) == len(served)
    else:
        assert sorted(served.tolist()) == list(range(total))
        assert all(len(b) <= batch_size for b in together[:-1])
        assert len(together[-1]) < batch_size + world
    if not shuffle:
        assert served.tolist() == list(range(len(served)))


def test_the_order_depends_on_seed_and_epoch_and_nothing_else():
    def epoch(seed, number):
        order = BatchOrder(50, batch_size=8, seed=seed)
        order.set_epoch(number)
        return np.concatenate(list(order)).tolist()

    torch.manual_seed(1)
    np.random.seed(1)
    first = epoch(0, 3)
    state = np.random.get_state()[1].tolist()
    assert epoch(0, 3) == first
    assert np.random.get_state()[1].tolist() == state
    assert len({tuple(epoch(s, e)) for s in (0, 1) for e in (0, 1)}) == 4


@pytest.mark.parametrize("kind", ["tensor", "array", "memmap", "strided"])
def test_slices_of_any_storage(kind, tmp_path):
    values = np.random.default_rng(0).normal(size=(23, 2, 3)).astype(np.float32)
    if kind == "memmap":
        np.save(tmp_path / "x.npy", values)
    x = {
        "tensor": lambda: torch.from_numpy(values),
        "array": lambda: values,
        "memmap": lambda: np.load(tmp_path / "x.npy", mmap_mode="r"),
        "strided": lambda: np.asfortranarray(values)[:, :, :],
    }[kind]()
    y = torch.arange(23) % 4
    batches = Batches(x, y, batch_size=5, index=[22, 3, 5, 7, 11, 0, 1], seed=2)
    seen = []
    for batch in batches:
        assert isinstance(batch, Batch)
        assert torch.equal(batch.x, torch.from_numpy(values)[batch.index])
        assert torch.equal(batch.y, y[batch.index])
        assert (batch.index.dtype, batch.y.dtype) == (torch.int64, torch.int64)
        seen += batch.index.tolist()
    assert sorted(seen) == [0, 1, 3, 5, 7, 11, 22]
    assert len(batches) == 2
    batch.x.add_(1)  # a batch is a copy
    assert torch.equal(next(iter(batches)).x, torch.from_numpy(values)[next(iter(batches)).index])


def test_datasets_give_the_same_batches_as_tensors():
    x, y = torch.randn(17, 3), torch.arange(17) % 2

    class Inputs(torch.utils.data.Dataset):
        def __len__(self):
            return 17

        def __getitem__(self, i):
            return x[i]

    options = {"batch_size": 4, "index": np.arange(1, 15), "seed": 5}
    slow, fast = loader(Inputs(), y, workers=1, **options), loader(x, y, **options)
    assert len(slow) == len(fast) == 4
    for epoch in (0, 2):
        slow.set_epoch(epoch)
        fast.set_epoch(epoch)
        for a, b in zip(slow, fast, strict=True):
            assert isinstance(a, Batch)
            assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


def test_any_dataset_can_be_given_row_numbers():
    pairs = [(torch.full((2,), float(i)), i % 3) for i in range(7)]
    batches = list(DataLoader(IndexedDataset(pairs), batch_size=3, shuffle=True))
    for batch in batches:
        assert isinstance(batch, Batch)
        assert batch.x[:, 0].tolist() == batch.index.tolist()
        assert batch.y.tolist() == (batch.index % 3).tolist()
    assert sorted(i for b in batches for i in b.index.tolist()) == list(range(7))
    collated = DataLoader(IndexedDataset([p[0] for p in pairs], torch.arange(7)), 7, collate_fn=IndexedDataset.collate)
    assert next(iter(collated)).y.tolist() == list(range(7))
    with pytest.raises(DataError, match="map-style"):
        IndexedDataset(iter(pairs))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((torch.zeros(3, 1), torch.zeros(2)), {"batch_size": 1}, DataError, "got 3 and 2 rows"),
        ((torch.zeros(3, 1), torch.zeros(3)), {"batch_size": 0}, ParameterError, "batch_size"),
        ((torch.zeros(3, 1), torch.zeros(3)), {"batch_size": 2.5}, ParameterError, "batch_size"),
        ((torch.zeros(3, 1), torch.zeros(3)), {"batch_size": 2, "seed": -1}, ParameterError, "seed"),
        ((torch.zeros(3, 1), torch.zeros(3)), {"batch_size": 2, "index": [0, 3]}, DataError, r"\[0, 2\]; got 0 to 3"),
        ((torch.zeros(3, 1), torch.zeros(3)), {"batch_size": 2, "index": [0.5]}, DataError, "row numbers"),
        ((torch.zeros(3, 1), torch.zeros(3)), {"batch_size": 2, "index": []}, DataError, "no rows"),
    ],
)
def test_what_can_not_be_cut_is_told(arguments, options, error, message):
    with pytest.raises(error, match=message):
        Batches(*arguments, **options)


class Recorder(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.seen = []

    def training_step(self, batch):
        self.seen.append((self.current_epoch, batch.index.tolist()))
        return torch.nn.functional.cross_entropy(self.layer(batch.x), batch.y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def plain_trainer(**options):
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )


@pytest.mark.parametrize("decoded", [False, True])
def test_a_plain_lightning_trainer_gets_a_new_order_each_epoch(decoded):
    x, y = torch.randn(10, 3), torch.arange(10) % 2
    source = list(x) if decoded else x
    batches = loader(source, y, batch_size=4, seed=1)
    module = Recorder()
    plain_trainer(max_epochs=3).fit(module, batches)
    for epoch in range(3):
        order = BatchOrder(10, batch_size=4, seed=1)
        order.set_epoch(epoch)
        assert [rows for e, rows in module.seen if e == epoch] == [b.tolist() for b in order]


TWO_PROCESSES = """
    import sys, torch, numpy as np
    from errata.data import Batches
    rank, place = int(sys.argv[1]), sys.argv[2]
    torch.distributed.init_process_group("gloo", init_method="file://" + place, rank=rank, world_size=2)
    batches = Batches(torch.arange(21.0)[:, None], torch.arange(21), batch_size=10, seed=3)
    batches.set_epoch(2)
    print(len(batches), [b.index.tolist() for b in batches])
    torch.distributed.destroy_process_group()
"""


def test_two_real_processes_share_every_batch(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(TWO_PROCESSES)]
    running = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meet")], stdout=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    outputs = [process.communicate(timeout=120)[0].split(" ", 1) for process in running]
    assert [int(count) for count, _ in outputs] == [2, 2]  # the last row is joined to the batch before
    first, second = (json.loads(rows) for _, rows in outputs)
    alone = BatchOrder(21, batch_size=10, seed=3)
    alone.set_epoch(2)
    order = np.concatenate(list(alone)).tolist()
    assert first[0] + second[0] == order[:10]
    assert first[1] + second[1] == order[10:]
    assert [len(first[1]), len(second[1])] == [5, 6]


@settings(deadline=None)
@given(strata=st.lists(st.integers(0, 4), min_size=1, max_size=60), share=st.floats(0.05, 1), seed=st.integers(0, 9))
def test_a_subset_has_as_many_of_each_class_as_it_can(strata, share, seed):
    strata = np.array(strata)
    count = max(1, int(share * len(strata)))
    order = np.random.default_rng(seed).permutation(len(strata))
    chosen = balanced_subset(order, strata, count)
    assert len(chosen) == len(set(chosen.tolist())) == count
    sizes, taken = np.bincount(strata, minlength=5), np.bincount(strata[chosen], minlength=5)
    left = [k for k in range(5) if taken[k] < sizes[k]]
    if left:  # whoever has rows left has at most one fewer than anybody else
        assert taken.max() - min(taken[k] for k in left) <= 1


def test_an_epoch_may_be_a_balanced_subset_that_is_drawn_anew():
    y = torch.tensor([0] * 90 + [1] * 10)
    batches = Batches(torch.arange(100), y, batch_size=8, per_epoch=20, seed=3)
    assert len(batches) == 3
    served = []
    for epoch in range(4):
        batches.set_epoch(epoch)
        rows = torch.cat([b.index for b in batches])
        assert y[rows].bincount().tolist() == [10, 10]
        assert not torch.equal(y[rows], y[rows].sort().values)  # the classes are mixed
        served.append(set(rows.tolist()))
    assert len(set.union(*served)) > 40
    with pytest.raises(ParameterError, match="rows of an epoch"):
        Batches(torch.arange(4), y[:4], batch_size=2, per_epoch=0)


def test_passes_have_orders_of_their_own_that_depend_on_seed_and_epoch():
    def orders(epoch):
        twice = Passes(Batches(torch.arange(50), torch.arange(50), batch_size=50), 2)
        twice.set_epoch(epoch)
        return [batch.index.tolist() for batch in twice]

    first, second = orders(0)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(50))
    assert orders(0) == [first, second]
    assert orders(1)[0] not in (first, second)
    with pytest.raises(ParameterError, match="passes"):
        Passes([], 0)
