"""Tables of labels: what is written is what is read, in every format; what a format cannot hold, it refuses."""

import numpy as np
import pytest

from rose.errors import ConfigurationError, PoolError
from rose.store import LabelTable, read_labels_file, write_labels

FORMATS = ("npz", "csv", "parquet")
DIGESTS = [bytes(range(16)), b"\xff" * 16, b"\x00" * 16]
X = np.array([[0.1, 1e-300], [1 / 3, -2.0], [np.pi, 4.0]])


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "labels",
    [[1, 0, 2], [0.1, 1 / 3, 1e300], ["cat", "dog", 'a,\n"b"'], [True, False, True], list(X), [np.float32(0.1)] * 3],
    ids=["ints", "floats", "texts", "truths", "arrays", "float32"],
)
def test_what_is_written_is_read(tmp_path, suffix, labels):
    path = tmp_path / f"labels.{suffix}"
    write_labels(LabelTable(labels, np.array([7, 3, 5]), DIGESTS, X, ["w/0/simulation/7", "imported", "ü"]), path)
    table = read_labels_file(path)
    np.testing.assert_array_equal(np.array(table.labels), np.array(labels))
    np.testing.assert_array_equal(table.X, X)
    assert table.candidates.tolist() == [7, 3, 5]
    assert table.digests == DIGESTS
    assert table.keys == ["w/0/simulation/7", "imported", "ü"]
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", FORMATS)
def test_candidates_that_are_no_numbers(tmp_path, suffix):
    path = tmp_path / f"labels.{suffix}"
    write_labels(LabelTable([1.5], np.array([0]), DIGESTS[:1], np.array(["CCO"]), ["k"]), path)
    assert np.array(read_labels_file(path).X).ravel().tolist() == ["CCO"]
    write_labels(LabelTable([1.5], np.array([0]), DIGESTS[:1], [{"a": 1}], ["k"]), path)
    assert read_labels_file(path).X is None


def test_what_cannot_be_held_is_refused_and_leaves_nothing(tmp_path):
    index = np.array([0, 1])
    for labels, name, match in (
        ([{"a": 1}, {"a": 2}], "a.npz", "no table can hold them"),
        ([np.zeros(2), np.zeros(3)], "a.npz", "no table can hold them"),
        ([np.zeros((2, 2))] * 2, "a.csv", "fit a .npz only"),
        ([1j, 2j], "a.parquet", "fit a .npz only"),
        (["1", "2"], "a.csv", "look like numbers"),
        ([1, 2], "a.xlsx", "no known format"),
    ):
        with pytest.raises(ConfigurationError, match=match):
            write_labels(LabelTable(labels, index), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_table_made_by_hand(tmp_path):
    path = tmp_path / "by hand.csv"
    path.write_text("\ufeffx_0,y\n0.5,1\n1.5,2\n\n")
    table = read_labels_file(path)
    assert (list(table.labels), table.X.tolist(), table.digests) == ([1, 2], [[0.5], [1.5]], None)
    path.write_text("x_0,z\n0.5,1\n")
    with pytest.raises(PoolError, match="no column 'y'; it has x_0, z"):
        read_labels_file(path)
    path.write_text("digest,y\nxyz,1\n")
    with pytest.raises(PoolError, match="no hexadecimal digests"):
        read_labels_file(path)
    path.write_text("x_0,y\n1\n")
    with pytest.raises(PoolError, match="cannot be read"):
        read_labels_file(path)
