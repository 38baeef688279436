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


@pytest.mark.parametrize("suffix", FORMATS)
def test_lists_and_tuples_of_numbers_are_vectors(tmp_path, suffix):
    path = tmp_path / f"labels.{suffix}"
    write_labels(LabelTable([[1.0, 2.0], (3.0, 4.5), np.array([5, 6])], np.arange(3)), path)
    np.testing.assert_array_equal(np.array(read_labels_file(path).labels), [[1, 2], [3, 4.5], [5, 6]])


@pytest.mark.parametrize("blank", ["", "  ", '""'])
def test_a_blank_cell_of_a_csv_is_unlabelled(tmp_path, blank):
    path = tmp_path / "labels.csv"
    path.write_text(f"index,y\n0,1\n1,{blank}\n2,3\n")
    table = read_labels_file(path)
    assert (list(table.labels), table.candidates.tolist()) == ([1, 3], [0, 2])
    assert all(isinstance(label, np.integer) for label in table.labels)
    path.write_text(f"index,y\n0,cat\n1,{blank}\n")
    assert list(read_labels_file(path).labels) == ["cat"]
    path.write_text(f"index,y_0,y_1\n0,1,2\n1,{blank},{blank}\n2,3,4\n")
    assert np.array(read_labels_file(path).labels).tolist() == [[1, 2], [3, 4]]
    path.write_text(f"index,y_0,y_1\n0,1,2\n\n1,{blank},5\n")
    with pytest.raises(PoolError, match=r"labels.csv', line 4: some values of its label are blank"):
        read_labels_file(path)
    path.write_text(f"x_0,x_1,y\n0.5,{blank},1\n1.5,2,2\n")
    np.testing.assert_array_equal(read_labels_file(path).X, [[0.5, np.nan], [1.5, 2]])


def test_a_null_of_a_parquet_file_is_unlabelled(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "labels.parquet"
    for values, wanted in (([1, None, 3], [1, 3]), (["a", None, ""], ["a", ""])):
        parquet.write_table(arrow.table({"index": [0, 1, 2], "y": values}), path)
        table = read_labels_file(path)
        assert (list(table.labels), table.candidates.tolist()) == (wanted, [0, 2])
    parquet.write_table(arrow.table({"index": [0, 1], "y_0": [1.0, None], "y_1": [1.0, 2.0]}), path)
    with pytest.raises(PoolError, match="row 1: some values of its label are blank"):
        read_labels_file(path)
    parquet.write_table(arrow.table({"index": [0, 1], "y": [1.0, float("nan")]}), path)
    with pytest.raises(PoolError, match="row 1: its label is not finite"):
        read_labels_file(path)


def test_labels_that_are_not_finite_are_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("index,y\n0,1\n1,\n2,nan\n")
    with pytest.raises(PoolError, match=r"line 4: its label is not finite \(nan\); leave it blank"):
        read_labels_file(path)
    np.savez(tmp_path / "labels.npz", y=[[1.0, 2.0], [3.0, np.inf]], index=[0, 1])
    with pytest.raises(PoolError, match=r"row 1: its label is not finite \(inf at \[1\]\); leave such rows out"):
        read_labels_file(tmp_path / "labels.npz")


def test_blank_texts_and_mixed_vectors_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"is blank: in a \.csv that is no label"):
        write_labels(LabelTable(["a", " "], np.arange(2)), tmp_path / "labels.csv")
    with pytest.raises(ConfigurationError, match="no table can hold them"):
        write_labels(LabelTable([1, "a"], np.arange(2)), tmp_path / "labels.npz")
    (tmp_path / "labels.csv").write_text("index,y_0,y_1\n0,1,a\n")
    with pytest.raises(PoolError, match="some of the columns y_0, y_1 are numbers and some texts"):
        read_labels_file(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("index,y\n0,1\n\n1,NA\n", r"line 4: its label 'NA' is a text, and that of line 2, '1', a number; leave it"),
        ("index,y\n0,?\n1,0.5\n", r"line 2: its label '\?' is a text, and that of line 3, '0.5', a number"),
        ("index,y\n0,cat\n1,nan\n", r"line 2: its label 'cat' is a text, and that of line 3, 'nan', a number"),
        ("index,y\n0,True\n1,x\n", r"line 3: its label 'x' is a text, and that of line 2, 'True', a truth value"),
        ("index,y_0,y_1\n0,1,2\n1,3,x\n", r"line 3: its label 'x' is a text"),
        ("index,y\n0,1\n,2\n", r"line 3: its index is blank"),
        ("index,y\n0,1\n1.5,2\n", r"line 3: its index is 1.5, no whole number"),
        ("index,y\n0,1\nb,2\n", r"line 3: its index is 'b', no whole number"),
        ("index,y,y\n0,1,2\n", "two columns are called 'y'"),
    ],
)  # fmt: skip
def test_cells_of_a_csv_that_cannot_be(tmp_path, text, match):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(PoolError, match=match):
        read_labels_file(tmp_path / "labels.csv")


def test_headings_have_no_spaces(tmp_path):
    (tmp_path / "labels.csv").write_text("index, y ,task\n0, 1,7\n4.0, 2,8\n")
    table = read_labels_file(tmp_path / "labels.csv")
    assert (list(table.labels), table.candidates.tolist(), table.keys) == ([1, 2], [0, 4], ["7", "8"])


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_text_like_a_number_is_refused_only_by_a_csv(tmp_path, suffix):
    path = tmp_path / f"labels.{suffix}"
    for labels in (["cat", "7"], ["nan", "cat"], ["True", "cat"]):
        if suffix == "csv":
            with pytest.raises(ConfigurationError, match=r"texts in y look like numbers or truth values"):
                write_labels(LabelTable(labels, np.arange(2)), path)
        else:
            write_labels(LabelTable(labels, np.arange(2)), path)
            assert list(read_labels_file(path).labels) == labels
