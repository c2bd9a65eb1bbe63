"""Hierarchies from everything that may hold one, and what is refused."""

from __future__ import annotations

import gzip
import json

import networkx as nx
import numpy as np
import pytest

from errata.data import Hierarchy, hierarchy_from_confusion, hierarchy_from_names, read_hierarchy
from errata.errors import DataError

LABELS = ["cat", "dog", "car"]
GRAPH = [[0, 2, 4], [2, 0, 4], [4, 4, 0]]
EDGES = [("thing", "animal"), ("thing", "vehicle"), ("animal", "cat"), ("animal", "dog"), ("vehicle", "car")]


def lines(rows, header=""):
    return "\n".join(([header] if header else []) + [",".join(row) for row in rows]) + "\n"


FILES = {
    "edges.csv": lines(EDGES),
    "headed.csv": lines(EDGES, "parent,child"),
    "upward.csv": lines([e[::-1] for e in EDGES], "child,parent"),
    "edges.tsv": lines(EDGES).replace(",", "\t"),
    "semicolon.csv": lines(EDGES).replace(",", ";"),
    "paths.txt": "thing.animal.cat\nthing.animal.dog\nthing.vehicle.car\n",
    "slashes.txt": "thing/animal/cat\nthing/animal/dog\nthing/vehicle/car\n",
    "levels.csv": "a,b,c\nthing,animal,cat\nthing,animal,dog\nthing,vehicle,car\n",
    "nested.json": json.dumps({"thing": {"animal": ["cat", "dog"], "vehicle": {"car": {}}}}),
    "pairs.json": json.dumps(EDGES),
    "listed.json": json.dumps(["thing>animal>cat", "thing>animal>dog", "thing>vehicle>car"]),
    "links.json": json.dumps(nx.node_link_data(nx.DiGraph(EDGES), edges="links")),
    "tree.graphml": "\n".join(nx.generate_graphml(nx.DiGraph(EDGES))),
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_gives_the_same_tree(tmp_path, name):
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    found = read_hierarchy(tmp_path / name).distances(LABELS)
    assert found.graph.tolist() == GRAPH
    with gzip.open(tmp_path / f"{name}.gz", "wt", encoding="utf-8") as packed:
        packed.write(FILES[name])
    assert read_hierarchy(str(tmp_path / f"{name}.gz")).distances(LABELS).graph.tolist() == GRAPH


@pytest.mark.parametrize(
    "graph",
    [
        nx.DiGraph(EDGES),
        nx.DiGraph(EDGES).reverse(),
        nx.Graph([("root" if a == "thing" else a, b) for a, b in EDGES]),
    ],
    ids=["down", "up", "undirected"],
)
def test_networkx_graphs_of_any_direction(graph):
    assert read_hierarchy(graph).distances(LABELS).graph.tolist() == GRAPH


def test_there_and_back():
    tree = Hierarchy.from_edges(EDGES)
    again = Hierarchy.from_graph(tree.graph())
    assert again.path("car") == tree.path("car") == ["thing", "vehicle", "car"]


def test_several_tops_are_joined_and_told():
    tree = Hierarchy.from_edges([("animal", "cat"), ("vehicle", "car")])
    assert tree.distances(["cat", "car"]).graph[0, 1] == 4
    assert "2 tops" in tree.notes[0]


def test_labels_are_found_by_their_last_part_and_however_they_are_spelled():
    tree = Hierarchy.from_paths(["per.loc.birthplace", "per.org.educatedAt", "org.loc.head office", "ünïcode.Größe"])
    assert [tree.names[i] for i in tree.nodes(["educatedAt", "birth_place", "Head-Office", "größe"])] == [
        "per.org.educatedAt",
        "per.loc.birthplace",
        "org.loc.head office",
        "ünïcode.Größe",
    ]


def test_labels_that_are_not_there_are_told_or_stand_beside():
    tree = Hierarchy.from_edges(EDGES)
    with pytest.raises(DataError, match="did you mean 'vehicle'"):
        tree.distances(["cat", "vehicel"])
    found = tree.distances(["cat", "ship", "boat"], missing="root")
    assert found.depth.tolist() == [2, 1, 1]
    assert found.graph[1, 2] == 2
    assert tree.distances(["cat", "auto"], {"auto": "car"}).graph[0, 1] == 4


def test_ambiguous_ends_and_labels_of_one_node_are_told():
    tree = Hierarchy.from_paths(["a.x", "b.x", "a.y"])
    with pytest.raises(DataError, match="several end in it"):
        tree.nodes(["x"])
    with pytest.raises(DataError, match="one node"):
        tree.nodes(["a.y", "y"])
    with pytest.raises(DataError, match="none of the labels"):
        tree.nodes(["y"], {"z": "a.x"})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a.csv:", "empty"),
        ("a.csv:x,a\ny,a\nx,b\n", "two parents"),
        ("a.csv:x,y\ny,z\nz,x\nq,x2\n", "circle"),
        ("a.csv:x,a\ny\n", "line 2"),
        ("a.txt:cat\ndog\n", "no separator"),
        ("a.json:{", "can't be read as a hierarchy"),
        ("a.json:3", "no hierarchy"),
        ("a.graphml:<!DOCTYPE x><graphml/>", "document type"),
        ("a.graphml:<graph", "not GraphML"),
        ("a.xml:x", "expected a hierarchy named"),
    ],
)
def test_what_is_no_hierarchy_is_told_with_the_file(tmp_path, content, says):
    name, text = content.split(":", 1)
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=says) as told:
        read_hierarchy(tmp_path / name)
    assert name in str(told.value)


def test_a_missing_or_broken_file_is_told(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        read_hierarchy(tmp_path / "none.csv")
    (tmp_path / "odd.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="can't be read"):
        read_hierarchy(tmp_path / "odd.csv.gz")
    with pytest.raises(DataError, match="no nodes"):
        read_hierarchy(nx.DiGraph())
    with pytest.raises(DataError, match="root must be named"):
        read_hierarchy(nx.Graph([("a", "b")]))
    with pytest.raises(DataError, match="pieces"):
        Hierarchy.from_graph(nx.Graph([("root", "b"), ("c", "d")]))


def test_names_and_confusions_tell_trees_too():
    assert hierarchy_from_names(["A:x", "A:y", "B:z"]).distances(["A:x", "A:y", "B:z"]).graph[0].tolist() == [0, 2, 4]
    with pytest.raises(DataError, match="':'"):
        hierarchy_from_names(["x", "y"])
    rng = np.random.default_rng(0)
    near = np.kron(np.eye(3), np.ones((2, 2))) * 5 + rng.uniform(size=(6, 6))
    found = hierarchy_from_confusion(near, range(6)).distances(range(6)).graph
    assert all(found[i, i ^ 1] == 2 for i in range(6))
    with pytest.raises(DataError, match="two labels"):
        hierarchy_from_confusion([[1.0]], ["a"])
    with pytest.raises(DataError, match="Expected confusions"):
        hierarchy_from_confusion([[1.0, np.nan], [0, 1]], ["a", "b"])


def test_the_tree_of_623_relations(shared_data):
    tree = read_hierarchy(shared_data / "relations" / "relation_hierarchy.csv.gz")
    assert len(tree) == 623 + 13 or len(tree) >= 623
    found = tree.distances(["spouse", "mother", "child", "crosses"])
    assert found.graph[0, 1] < found.graph[0, 3]
    assert (found.graph == found.graph.T).all()
