"""Published representations: read, aligned with the index, refused where they do not fit."""

import shutil

import numpy as np
import pandas as pd
import pytest

from genre_utils import GENRES, datasets, representations
from genre_utils.representations import RepresentationError


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with the layout of the published files and random numbers."""
    root = tmp_path_factory.mktemp("gtzan")
    index = datasets.gtzan_index()
    rng = np.random.default_rng(0)
    (root / "musicnn_taggrams").mkdir()
    for part, name in (("train", "training"), ("test", "evaluation")):
        tracks = index.loc[index["fault_filtered_split"].eq(part), "track_id"].repeat(3)
        genres = tracks.str.split(".").str[0]
        np.savez(
            root / "musicnn_taggrams" / f"{name}_data_GTZAN_MSDmusicnn_taggram.npz",
            X=rng.random((len(tracks), 50)).astype(np.float32),
            Y=np.array([GENRES.index(genre) for genre in genres]),
            IDS=np.array([f"{g}/{t}.au" for g, t in zip(genres, tracks, strict=True)]),
        )
    (root / "choi2017").mkdir()
    genres = index["track_id"].str.split(".").str[0]
    names = "gtzan_genre/genres/" + genres + "/" + index["track_id"] + ".au"
    # Not in the index's order, to see that rows follow the names.
    pd.DataFrame({"id": genres, "filepath": names})[::-1].reset_index(drop=True).to_csv(
        root / "choi2017" / "gtzan_genre.csv"
    )
    values = np.arange(1000.0)[:, None]
    np.save(root / "choi2017" / "gtzan_genre_mfcc.npy", values + np.zeros(120))
    for layer in range(5):
        np.save(root / "choi2017" / f"gtzan_genre_layer_{layer}.npy", values + np.zeros(32))
    return root


@pytest.fixture
def copy(published, tmp_path):
    return shutil.copytree(published, tmp_path / "gtzan")


def test_taggrams_are_sorted_by_track(published):
    series = representations.taggram_series(root=published)
    assert len(series) == 733 and list(series) == sorted(series)
    file = published / "musicnn_taggrams" / "evaluation_data_GTZAN_MSDmusicnn_taggram.npz"
    with np.load(file) as arrays:
        X, names = arrays["X"], arrays["IDS"]
    genre, _, track = names[3].partition("/")
    assert track.startswith(genre)
    np.testing.assert_array_equal(series[track.removesuffix(".au")], X[3:6])


def test_rows_follow_the_names_and_the_published_features_are_marked(published):
    mfcc = representations.mfcc_statistics(root=published)
    assert mfcc.track_ids[0] == "blues.00000" and mfcc.X[0, 0] == 999
    assert len(mfcc.names) == 120 == len(set(mfcc.names)) and not mfcc.contaminated
    layers = representations.choi_features(layers=[5, 1], root=published)
    assert layers.X.shape == (1000, 64) and layers.names[0] == "layer5_00"
    assert "batches" in layers.contaminated
    np.testing.assert_array_equal(layers.rows(["rock.00099", "blues.00000"])[:, 0], [0, 999])


def test_a_track_that_is_not_there_is_named(published):
    with pytest.raises(RepresentationError, match=r"1 of 2 tracks.*blues.00100"):
        representations.mfcc_statistics(root=published).rows(["blues.00000", "blues.00100"])


def test_the_digest_knows_numbers_tracks_and_names(published):
    digests = {
        representations.choi_features(layers=layers, root=published).digest
        for layers in ([1], [2], [1, 2], [2, 1])
    }
    assert len(digests) == 4


def test_a_missing_or_damaged_file_is_named(copy):
    file = copy / "choi2017" / "gtzan_genre_mfcc.npy"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RepresentationError, match=r"gtzan_genre_mfcc.npy: cannot be read"):
        representations.mfcc_statistics(root=copy)
    np.save(file, np.zeros((999, 120)))
    with pytest.raises(RepresentationError, match=r"\(999, 120\); expected \(1000, 120\)"):
        representations.mfcc_statistics(root=copy)
    np.save(file, np.full((1000, 120), np.nan))
    with pytest.raises(RepresentationError, match="not finite"):
        representations.mfcc_statistics(root=copy)
    file.unlink()
    with pytest.raises(RepresentationError, match=r"gtzan_genre_mfcc.npy: no such file"):
        representations.mfcc_statistics(root=copy)


def test_taggrams_of_other_tracks_or_labels_are_refused(copy):
    file = copy / "musicnn_taggrams" / "training_data_GTZAN_MSDmusicnn_taggram.npz"
    with np.load(file) as arrays:
        X, Y, ids = arrays["X"], arrays["Y"], arrays["IDS"]
    np.savez(file, X=X[3:], Y=Y[3:], IDS=ids[3:])
    with pytest.raises(RepresentationError, match=r"442 tracks; expected the 443.*is missing"):
        representations.taggram_series(root=copy)
    np.savez(file, X=X, Y=np.roll(Y, 3), IDS=ids)
    with pytest.raises(RepresentationError, match="another label"):
        representations.taggram_series(root=copy)
    np.savez(file, X=X[:, :49], Y=Y, IDS=ids)
    with pytest.raises(RepresentationError, match=r"\(1329, 49\)"):
        representations.taggram_series(root=copy)
    file.write_bytes(b"PK")
    with pytest.raises(RepresentationError, match="cannot be read"):
        representations.taggram_series(root=copy)


@pytest.mark.real_data
def test_the_real_files_are_about_the_tracks_that_they_should_be_about(gtzan_root):
    if not (gtzan_root / "choi2017").is_dir():
        pytest.skip("no published representations")
    assert representations.published_order() == tuple(datasets.gtzan_index()["track_id"])
    series = representations.taggram_series()
    assert len(series) == 733
    means = {track: scores.mean(axis=0) for track, scores in series.items()}
    scores = pd.DataFrame.from_dict(means, orient="index", columns=representations.MSD_TAGS)
    genres = scores.index.str.split(".").str[0]
    # The tags' names are right if each genre leads in the tag of its name.
    for genre, tag in (("jazz", "jazz"), ("metal", "metal"), ("hiphop", "Hip-Hop")):
        assert scores[tag].groupby(genres).mean().idxmax() == genre
