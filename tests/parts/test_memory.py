from __future__ import annotations

import io
import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from torch import nn

from errata.errors import DataError, LoadError, ParameterError
from errata.parts import SampleMemory


def saved_and_loaded(module: nn.Module) -> dict[str, torch.Tensor]:
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


class TestReadingAndWriting:
    def test_rows_never_written_hold_the_fill(self) -> None:
        memory = SampleMemory(3, (2,), fill=0.5)
        memory.write(torch.tensor([1]), torch.tensor([[1.0, 2.0]]))
        assert memory.values.tolist() == [[0.5, 0.5], [1.0, 2.0], [0.5, 0.5]]

    def test_numbers_and_integers(self) -> None:
        memory = SampleMemory(3, dtype=torch.int32)
        memory.add(torch.tensor([2, 2, 0]))
        assert memory.values.tolist() == [1, 0, 2]

    def test_ema_of_several_visits(self) -> None:
        memory = SampleMemory(2, (2,))
        value = torch.tensor([[0.25, 0.75]])
        for visit in range(1, 5):
            new = memory.ema(torch.tensor([1]), value, decay=0.7)
            torch.testing.assert_close(new, value * (1 - 0.7**visit))
        assert memory.values[0].tolist() == [0.0, 0.0]

    def test_mean_is_the_plain_mean(self) -> None:
        memory, visits = SampleMemory(4, (3,)), SampleMemory(4, dtype=torch.int32)
        values = torch.rand(5, 2, 3, generator=torch.Generator().manual_seed(0))
        for value in values:
            memory.mean(torch.tensor([3, 1]), value, visits)
        torch.testing.assert_close(memory.read(torch.tensor([3, 1])), values.mean(0))
        assert visits.values.tolist() == [0, 5, 0, 5]

    def test_nothing_written_has_a_gradient(self) -> None:
        memory = SampleMemory(2, (2,))
        new = memory.ema(torch.tensor([0]), torch.ones(1, 2, requires_grad=True) * 2, decay=0.5)
        assert not new.requires_grad
        assert not memory.values.requires_grad

    def test_an_empty_batch_changes_nothing(self) -> None:
        memory, visits = SampleMemory(2, (3,)), SampleMemory(2)
        assert memory.ema(torch.empty(0, dtype=torch.int64), torch.empty(0, 3), decay=0.5).shape == (0, 3)
        assert memory.mean(torch.empty(0, dtype=torch.int64), torch.empty(0, 3), visits).shape == (0, 3)
        assert not memory.values.any()


class TestASampleTwiceInOneBatch:
    index = torch.tensor([1, 0, 1])
    value = torch.tensor([[0.2], [0.5], [0.6]])

    def test_ema_takes_their_mean_as_one_visit(self) -> None:
        memory = SampleMemory(2, (1,), fill=1.0)
        new = memory.ema(self.index, self.value, decay=0.5)
        torch.testing.assert_close(memory.values, torch.tensor([[0.75], [0.7]]))
        torch.testing.assert_close(new, torch.tensor([[0.7], [0.75], [0.7]]))

    def test_mean_counts_both(self) -> None:
        memory, visits = SampleMemory(2, (1,)), SampleMemory(2, dtype=torch.int32)
        memory.mean(torch.tensor([1]), torch.tensor([[1.0]]), visits)
        memory.mean(self.index, self.value, visits)
        torch.testing.assert_close(memory.values, torch.tensor([[0.5], [0.6]]))
        assert visits.values.tolist() == [1, 3]

    def test_a_nan_stays_with_its_sample(self) -> None:
        memory = SampleMemory(2, (1,))
        memory.ema(torch.tensor([0, 1]), torch.tensor([[float("nan")], [0.5]]), decay=0.5)
        assert memory.values.isnan().tolist() == [[True], [False]]


class TestTopk:
    def test_keeps_the_largest_entries_in_half_precision(self) -> None:
        memory = SampleMemory(2, (5,), topk=2)
        memory.write(torch.tensor([1]), torch.tensor([[0.05, 0.5, 0.1, 0.3, 0.05]]))
        read = memory.read(torch.tensor([1, 0]))
        assert read.dtype == torch.float32
        torch.testing.assert_close(read[0], torch.tensor([0, 0.5, 0, 0.3, 0]), atol=1e-3, rtol=0)
        assert read[1].tolist() == [0.0] * 5
        assert memory.values.shape == (2, 5)

    def test_its_size(self) -> None:
        stored = SampleMemory(10, (1000,), topk=10).state_dict()
        assert sum(t.numel() * t.element_size() for t in stored.values()) == 10 * 10 * (2 + 4)

    def test_ema_and_mean_work_on_what_was_kept(self) -> None:
        memory, visits = SampleMemory(1, (3,), topk=1), SampleMemory(1)
        memory.ema(torch.tensor([0]), torch.tensor([[0.25, 0.5, 0.25]]), decay=0.5)
        assert memory.values.tolist() == [[0.0, 0.25, 0.0]]
        memory = SampleMemory(1, (3,), topk=1)
        memory.mean(torch.tensor([0]), torch.tensor([[0.25, 0.5, 0.25]]), visits)
        assert memory.values.tolist() == [[0.0, 0.5, 0.0]]

    def test_adding_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="topk"):
            SampleMemory(1, (3,), topk=1).add(torch.tensor([0]))

    @pytest.mark.parametrize(("shape", "topk"), [((), 1), ((3,), 0), ((3,), 4), ((2, 3), 1)])
    def test_a_topk_that_makes_no_sense(self, shape: tuple[int, ...], topk: int) -> None:
        with pytest.raises(ParameterError, match="topk"):
            SampleMemory(2, shape, topk=topk)


class TestPrecision:
    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
    def test_half_precision_storage_is_computed_in_float32(self, kind: torch.dtype) -> None:
        memory = SampleMemory(1, (1,), dtype=kind)
        new = memory.ema(torch.tensor([0]), torch.ones(1, 1, dtype=kind), decay=0.9)
        assert new.dtype == torch.float32
        assert memory.values.dtype == kind

    def test_float64_is_kept_to_the_last_digit(self) -> None:
        memory = SampleMemory(1, (1,), dtype=torch.float64)
        new = memory.ema(torch.tensor([0]), torch.tensor([[1 / 3]], dtype=torch.float64), decay=0.1)
        assert float(new) == pytest.approx(0.3, abs=1e-16)

    def test_half_and_double_of_the_module_leave_the_storage_as_it_is(self) -> None:
        module = nn.Sequential(nn.Linear(2, 2))
        module.add_module("memory", SampleMemory(3, (2,)))
        module.add_module("counts", SampleMemory(3, dtype=torch.int32))
        for change in (module.half, module.double, module.bfloat16):
            change()
            assert module.memory.values.dtype == torch.float32
            assert module.counts.values.dtype == torch.int32

    def test_a_move_keeps_dtype_and_moves(self) -> None:
        memory = SampleMemory(3, (2,), dtype=torch.float16).to("meta", torch.float32)
        assert memory.device.type == "meta"
        assert memory.values.dtype == torch.float16


class TestCheckpoint:
    @pytest.mark.parametrize("topk", [None, 2])
    def test_state_dict_round_trip(self, topk: int | None) -> None:
        memory = SampleMemory(3, (4,), topk=topk)
        memory.write(torch.tensor([2, 0]), torch.rand(2, 4, generator=torch.Generator().manual_seed(1)))
        other = SampleMemory(3, (4,), topk=topk)
        other.load_state_dict(saved_and_loaded(memory))
        assert torch.equal(memory.values, other.values)

    def test_it_is_part_of_its_modules_state_and_not_a_buffer(self) -> None:
        module = nn.ModuleDict({"memory": SampleMemory(3)})
        assert list(module.state_dict()) == ["memory.values"]
        assert not list(module.buffers())
        assert not list(module.parameters())

    def test_another_number_of_samples_is_told(self) -> None:
        module = nn.ModuleDict({"memory": SampleMemory(3, (2,))})
        with pytest.raises(LoadError, match=r"memory\.values.*\(4, 2\).*\(3, 2\)"):
            module.load_state_dict(nn.ModuleDict({"memory": SampleMemory(4, (2,))}).state_dict())

    def test_a_missing_or_strange_entry_is_not_passed_over(self) -> None:
        with pytest.raises(RuntimeError, match=r"Missing key.*values"):
            SampleMemory(2).load_state_dict({})
        with pytest.raises(RuntimeError, match=r"Unexpected key.*other"):
            SampleMemory(2).load_state_dict({"values": torch.zeros(2), "other": torch.zeros(1)})
        SampleMemory(2).load_state_dict({"other": torch.zeros(1)}, strict=False)

    def test_processes_that_it_is_sent_to_do_not_write_into_each_others(self) -> None:
        memory = SampleMemory(2)
        sent = pickle.loads(ForkingPickler.dumps(memory))  # noqa: S301  # as to a spawned process: shared memory
        assert memory.values.is_shared()
        sent.write(torch.tensor([0]), torch.tensor([5.0]))
        assert memory.values.tolist() == [0.0, 0.0]
        assert sent.values.tolist() == [5.0, 0.0]

    def test_loading_copies(self) -> None:
        memory, state = SampleMemory(2), {"values": torch.ones(2)}
        memory.load_state_dict(state)
        memory.write(torch.tensor([0]), torch.tensor([5.0]))
        assert state["values"].tolist() == [1.0, 1.0]


class TestWrongUse:
    @pytest.mark.parametrize("n", [0, -1, 1.5])
    def test_number_of_samples(self, n: float) -> None:
        with pytest.raises(ParameterError, match="num_samples"):
            SampleMemory(n)  # type: ignore[arg-type]

    def test_a_row_beyond_the_end(self) -> None:
        memory = SampleMemory(3, (1,))
        for use in (
            lambda: memory.read(torch.tensor([1, 3])),
            lambda: memory.write(torch.tensor([1, 3]), torch.zeros(2, 1)),
            lambda: memory.ema(torch.tensor([1, 3]), torch.zeros(2, 1), decay=0.5),
        ):
            with pytest.raises(DataError, match=r"\[0, 3\).*from 1 to 3"):
                use()

    def test_values_of_another_shape(self) -> None:
        with pytest.raises(DataError, match=r"\(4,\).*\(2, 3\)"):
            SampleMemory(5, (4,)).write(torch.tensor([0, 1]), torch.zeros(2, 3))
