"""Graphs from files, folders and objects: what is read, what is told, and what is refused with which words."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random_array

from errata.data.graph_encoder import NodeEncoder, nearest_edges
from errata.data.graphs import GraphData, read, undirected
from errata.errors import DataError, ParameterError, UnknownNameError

NODES = "id,size,colour,label,split\na,1.5,red,x,train\nb,2.5,blue,y,train\nc,0.5,red,,\nd,9,blue,x,test\n"
EDGES = "source,target,weight\na,b,1\nb,c,2\nc,d,1\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nodes.csv").write_text(NODES)
    (tmp_path / "edges.csv").write_text(EDGES)
    return tmp_path


def archive(path, **changes):
    arrays = {
        "x": np.eye(4),
        "edge_index": np.array([[0, 1, 2], [1, 2, 3]]),
        "y": np.array([0, 1, -1, 1]),
        **changes,
    }
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


class TestTables:
    @pytest.mark.parametrize("name", ["", "edges.csv", "nodes.csv"])
    def test_the_folder_and_either_file_are_the_same_graph(self, folder, name):
        data = read(folder / name)
        assert data.ids.tolist() == ["a", "b", "c", "d"]
        assert data.edges.tolist() == [[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]
        assert data.labels.names().tolist() == ["x", "y", None, "x"]
        assert data.given.tolist() == [0, 1, -1, -1]
        assert data.known_in("test").tolist() == [3]
        assert [c.name for c in data.columns if c.role == "feature"] == ["size", "colour"]

    def test_it_is_told_how_it_was_read(self, folder):
        said = " ".join(read(folder).describe())
        assert "4 nodes and 3 edges, read as a graph" in said
        assert "Not used of the edges: 'weight'" in said
        assert "2 nodes to train on in 2 classes: x (1), y (1)" in said
        assert "1 test nodes have labels" in said

    def test_numbers_name_nodes_whatever_their_type(self, tmp_path):
        (tmp_path / "nodes.csv").write_text("id,size,label\n10,1.5,x\n20,2,y\n30,7,x\n")
        (tmp_path / "edges.txt").write_text("# a comment\n10 20\n20.0\t30\n".replace("20.0", "20"))
        assert read(tmp_path).neighbours(1).tolist() == [0, 2]
        pd.DataFrame({"source": [10.0, 20.0], "target": [20, 30]}).to_parquet(tmp_path / "other.parquet")
        assert read(tmp_path / "nodes.csv", edges=tmp_path / "other.parquet").neighbours(1).tolist() == [0, 2]

    def test_without_names_edges_count_rows(self, tmp_path):
        (tmp_path / "nodes.csv").write_text("size,label\n1.5,x\n2,y\n7,x\n")
        (tmp_path / "edges.csv").write_text("source,target\n0,1\n1,2\n")
        assert read(tmp_path).neighbours(1).tolist() == [0, 2]

    def test_unicode_names_and_classes(self, tmp_path):
        (tmp_path / "nodes.csv").write_text("id,größe,label\nÄpfel,1,früh\n梨,2,spät\n", encoding="utf-8")
        (tmp_path / "edges.csv").write_text("source,target\nÄpfel,梨\n", encoding="utf-8")
        data = read(tmp_path)
        assert data.labels.classes == ["früh", "spät"]
        assert data.preview(0).row["neighbours"] == "1 'spät'"

    def test_texts_are_features_too(self, tmp_path):
        table = pd.DataFrame(
            {"abstract": ["graphs of nodes and edges", "a long text on birds"] * 3, "label": [0, 1] * 3}
        )
        data = read(table, edges=[[0, 1], [2, 3]])
        x = NodeEncoder().fit(data).encode(data)
        assert x.shape[0] == 6
        np.testing.assert_allclose(x.sum(1), 1, rtol=1e-5)

    @pytest.mark.parametrize(
        ("nodes", "edges", "told"),
        [
            (NODES, "source,target\na,b\na,q\n", "row 1: there is no node 'q'"),
            (NODES, "source,target\na,\n", "row 0 has nothing in 'target'"),
            (NODES + "a,1,red,x,\n", EDGES, "node 'a' stands in the table of nodes more than once"),
            (NODES.replace(",train", ",tarin"), EDGES, "column 'split' holds 'tarin'"),
            ("size,label\n1,x\n2,y\n", "source,target\na,b\n", "names nodes by words, such as 'a'"),
            (NODES, "source,target\na,a\n", "no edges between different nodes"),
            ("id,label\na,x\nb,y\nc,x\nd,y\n", EDGES, "no features to learn from"),
            (NODES, "source\na\n", "one column; expected edges as two"),
        ],
    )
    def test_what_does_not_fit_is_told_with_its_place(self, tmp_path, nodes, edges, told):
        (tmp_path / "nodes.csv").write_text(nodes)
        (tmp_path / "edges.csv").write_text(edges)
        with pytest.raises(DataError, match=told):
            read(tmp_path)

    def test_a_file_that_is_missing_is_named(self, folder):
        (folder / "nodes.csv").unlink()
        with pytest.raises(DataError, match=r"there is no nodes.csv"):
            read(folder)
        with pytest.raises(DataError, match=r"beside it as nodes\.csv"):
            read(folder / "edges.csv")

    def test_rows_without_edges_are_linked_by_likeness(self, folder):
        (folder / "edges.csv").unlink()
        data = read(folder / "nodes.csv", knn=1)
        assert 2 in data.neighbours(0)  # the two red and small ones
        assert 3 not in data.neighbours(0)
        assert "linked with the 1 most like it (knn=1)" in " ".join(data.describe())

    def test_another_label_of_the_same_graph(self, folder):
        data = read(read(folder), "colour")
        assert data.labels.classes == ["blue", "red"]
        assert "colour" not in [c.name for c in data.columns if c.role == "feature"]
        with pytest.raises(UnknownNameError, match="Did you mean 'colour'"):
            read(folder, "color")


class TestArchives:
    def test_minus_one_is_no_label(self, tmp_path):
        data = read(archive(tmp_path / "a.npz"))
        assert data.codes.tolist() == [0, 1, -1, 1]
        assert data.given.tolist() == [0, 1, -1, 1]

    def test_sparse_parts_sets_and_names(self, tmp_path):
        x = csr_matrix(np.eye(4))
        parts = {"x_data": x.data, "x_indices": x.indices, "x_indptr": x.indptr, "x_shape": np.array(x.shape)}
        more = {
            "train_index": np.array([0, 1]),
            "test_mask": np.array([0, 0, 0, 1]),
            "class_names": np.array(["p", "q"]),
        }
        data = read(archive(tmp_path / "a.npz", x=None, **parts, **more))
        assert data.given.tolist() == [0, 1, -1, -1]
        assert data.known_in("test").tolist() == [3]
        assert data.labels.classes == ["p", "q"]
        assert NodeEncoder().fit(data).encode(data).tolist() == np.eye(4).tolist()

    def test_an_adjacency_does_for_edges(self, tmp_path):
        a = csr_matrix(np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]))
        parts = {"adj_indices": a.indices, "adj_indptr": a.indptr, "adj_shape": np.array(a.shape)}
        data = read(archive(tmp_path / "a.npz", edge_index=None, **parts))
        assert data.edges.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"edge_index": np.array([[0, 4], [1, 1]])}, r"edge 1 joins the nodes 4 and 1, but there are 4 nodes"),
            ({"edge_index": np.array([[0.0], [1.0]])}, "edges as whole numbers"),
            ({"x": None}, "no features of the nodes"),
            ({"x": np.full((4, 2), np.nan)}, "holds nan in row 0"),
            ({"x": np.zeros(4)}, "expected numbers"),
            ({"y": np.array([0, 1])}, "Which array"),
            ({"y": np.full(4, -1)}, "no label at all"),
            ({"train_index": np.array([9])}, r"must hold node numbers in \[0, 3\]"),
            ({"train_mask": np.array([True])}, r"expected \(4,\)"),
            ({"x": None, "x_data": np.ones(1), "x_indptr": np.array([0])}, "don't fit"),
        ],
    )
    def test_what_does_not_fit_is_told(self, tmp_path, changes, told):
        with pytest.raises(DataError, match=told):
            read(archive(tmp_path / "a.npz", **changes))

    def test_nothing_is_unpickled(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=np.array([object()], dtype=object))
        with pytest.raises(DataError, match=r"have to be unpickled.*numpy\.savez"):
            read(tmp_path / "a.npz")

    def test_a_damaged_file_is_told(self, tmp_path):
        (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 nothing")
        with pytest.raises(DataError, match="damaged, or no NumPy file"):
            read(tmp_path / "a.npz")

    @pytest.mark.parametrize("name", ["ind.cora.graph", "graph.pkl", "data.pt", ""])
    def test_planetoids_pickles_are_refused_with_the_way_out(self, tmp_path, name):
        (tmp_path / (name or "ind.cora.x")).write_bytes(b"\x80\x02")
        with pytest.raises(DataError, match=r"pickled.*NAME.content and NAME.cites.*numpy.savez"):
            read(tmp_path / name)


class TestLinqs:
    def test_content_and_cites(self, tmp_path):
        (tmp_path / "cora.content").write_text("31336\t0\t1\tTheory\n1061127\t1\t0\tAgents\n1106406 1 1 Theory\n")
        (tmp_path / "cora.cites").write_text("31336\t1061127\n1061127\t1106406\n31336\t77\n")
        for place in (tmp_path, tmp_path / "cora.content", tmp_path / "cora.cites"):
            data = read(place)
            assert data.labels.names().tolist() == ["Theory", "Agents", "Theory"]
            assert data.neighbours(1).tolist() == [0, 2]
        assert "1 citations name papers that cora.content does not hold" in " ".join(data.describe())

    def test_one_of_the_two_is_not_enough(self, tmp_path):
        (tmp_path / "cora.content").write_text("1 0 x\n")
        with pytest.raises(DataError, match=r"There is no file .*cora.cites"):
            read(tmp_path)


class TestObjects:
    def test_arrays_with_edges(self):
        data = read(np.eye(3), ["a", "b", None], edges=np.array([[0, 1], [1, 2]]))
        assert data.given.tolist() == [0, 1, -1]
        assert read(csr_matrix(np.eye(3)), edges=csr_matrix(np.ones((3, 3)))).edges.shape == (2, 6)

    def test_networkx(self):
        nx = pytest.importorskip("networkx", reason="needs networkx")
        graph = nx.Graph()
        graph.add_node("p", x=[1.0, 0.0], label="a")
        graph.add_node("q", x=[0.0, 1.0], label="b")
        graph.add_node("r", x=[0.0, 1.0])
        graph.add_edges_from([("p", "q"), ("q", "r")])
        data = read(graph)
        assert data.ids.tolist() == ["p", "q", "r"]
        assert data.labels.names().tolist() == ["a", "b", None]
        assert data.neighbours(1).tolist() == [0, 2]

    def test_networkx_with_plain_attributes(self):
        nx = pytest.importorskip("networkx", reason="needs networkx")
        graph = nx.path_graph(4)
        for node in graph:
            graph.nodes[node].update(size=node * 1.5, label="ab"[node % 2])
        data = read(graph)
        assert [c.name for c in data.columns if c.role == "feature"] == ["size"]
        assert data.labels.names().tolist() == ["a", "b", "a", "b"]

    def test_pytorch_geometric(self):
        torch = pytest.importorskip("torch")
        data_of = pytest.importorskip("torch_geometric.data", reason="needs PyTorch Geometric")
        graph = data_of.Data(
            x=torch.eye(3),
            edge_index=torch.tensor([[0, 1], [1, 2]]),
            y=torch.tensor([0, 1, 1]),
            train_mask=torch.tensor([True, True, False]),
        )
        data = read(graph)
        assert data.given.tolist() == [0, 1, -1]
        assert data.edges.shape == (2, 4)

    @pytest.mark.parametrize(
        ("source", "options", "told"),
        [
            (SimpleNamespace(edge_index=np.zeros((2, 0), int), x=None), {}, "no features of its nodes"),
            (SimpleNamespace(edge_index=np.zeros((2, 0), int), x=np.eye(2), y=[0, 1]), {}, "no edges between"),
            (np.eye(3), {"label": [0, 1]}, "3 nodes and 2 labels"),
            (np.zeros(3), {}, "Expected a graph"),
            (np.array([[np.inf]]), {}, "holds inf in row 0"),
            (np.eye(3), {"label": "y"}, "no columns, so none can be named 'y'"),
        ],
    )
    def test_what_is_no_graph_is_told(self, source, options, told):
        with pytest.raises(DataError, match=told):
            read(source, **options)

    def test_unknown_options_are_told(self):
        with pytest.raises(UnknownNameError, match="Did you mean 'edges'"):
            read(np.eye(2), egdes=[[0], [1]])
        with pytest.raises(ParameterError, match="knn must be a whole number"):
            read(np.eye(2), knn=0)


class TestEdges:
    @settings(deadline=None, max_examples=40)
    @given(n=st.integers(1, 10), pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
    def test_both_directions_once_without_loops(self, n, pairs):
        pairs = [(a % n, b % n) for a, b in pairs]
        edges, _ = undirected(np.array(pairs, dtype=np.int64).reshape(-1, 2).T, n)
        wanted = {(a, b) for a, b in pairs if a != b} | {(b, a) for a, b in pairs if a != b}
        assert list(map(tuple, edges.T.tolist())) == sorted(wanted)

    def test_neighbours_are_those_of_the_edges(self):
        adjacency = random_array((30, 30), density=0.1, rng=np.random.default_rng(0))
        data = read(np.eye(30), edges=adjacency)
        for node in range(30):
            assert data.neighbours(node).tolist() == data.edges[1][data.edges[0] == node].tolist()
        assert data.degrees().sum() == data.edges.shape[1]

    def test_nearest_rows_among_equal_ones_are_never_themselves(self):
        data = GraphData(edges=np.empty((2, 0), dtype=np.int64), features=np.zeros((9, 2)))
        edges = nearest_edges(data, 2)
        assert (edges[0] != edges[1]).all()
        assert (np.bincount(edges[0], minlength=9) >= 2).all()


class TestEncoding:
    def test_counts_become_shares_and_embeddings_are_standardised(self):
        counts = read(np.array([[1.0, 3.0], [0.0, 0.0]]), edges=[[0], [1]])
        assert NodeEncoder().fit(counts).encode(counts).tolist() == [[0.25, 0.75], [0, 0]]
        embedded = read(np.array([[-1.0, 5.0], [1.0, 5.0]]), edges=[[0], [1]])
        assert NodeEncoder().fit(embedded).encode(embedded).tolist() == [[-1, 0], [1, 0]]

    @pytest.mark.parametrize("kind", ["sum", "standard", "table"])
    def test_it_is_made_again_from_json(self, folder, kind):
        import json

        x = {"sum": np.eye(4), "standard": np.arange(12.0).reshape(4, 3) - 5}.get(kind)
        data = read(folder) if x is None else read(x, edges=[[0], [1]])
        encoder = NodeEncoder().fit(data)
        again = NodeEncoder.from_spec(json.loads(json.dumps(encoder.spec())))
        assert again.encode(data).tolist() == encoder.encode(data).tolist()

    def test_other_features_than_in_training_are_refused(self, folder):
        encoder = NodeEncoder().fit(read(np.eye(3), edges=[[0], [1]]))
        with pytest.raises(DataError, match="has 2 features a node; expected 3"):
            encoder.encode(read(np.eye(2), edges=[[0], [1]]))
        with pytest.raises(DataError, match="in another form than in training"):
            encoder.encode(read(folder))


class TestPictures:
    def test_a_node_and_what_surrounds_it(self, folder):
        import io

        from PIL import Image

        shown = read(folder).preview(1)
        picture = Image.open(io.BytesIO(shown.png)).convert("RGB")
        assert picture.width == 320
        assert picture.getpixel((160, 145)) == (0xEE, 0x66, 0x77)  # class y, the second colour, in the middle
        assert shown.row == {"node": "b", "neighbours": "1 'x', 1 without a label", "size": 2.5, "colour": "blue"}

    def test_what_a_system_proposes_is_shown_of_nodes_without_a_label(self, folder):
        data = read(folder)
        before = data.preview(2).png
        data.proposed = np.array([0, 1, 1, 0])
        assert data.preview(2).png != before

    def test_a_hub_is_drawn_in_part(self):
        n = 3000
        star = np.stack([np.zeros(n - 1, dtype=np.int64), np.arange(1, n)])
        data = read(np.ones((n, 1)), np.arange(n) % 30, edges=star)
        assert len(data.preview(0).png) < 60_000
        assert data.preview(0).png == data.preview(0).png


def test_cora_as_it_lies_in_the_data_folder(shared_data):
    data = read(shared_data / "graphs" / "cora.npz")
    assert (len(data), data.edges.shape[1]) == (2708, 10556)
    assert (data.given >= 0).sum() == 140
    assert len(data.known_in("test")) == 1000
    said = read(shared_data / "graphs" / "cora_llm.npz", "llm_label")
    assert (said.given >= 0).sum() == 2414
