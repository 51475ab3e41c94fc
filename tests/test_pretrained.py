"""Pretrained networks: the code that loads the published ones, on tiny ones saved to disk."""

import shutil
import time
import warnings
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from genre_utils import finetuning, training, tuning
from genre_utils.models import adapters, pretrained, resnet
from genre_utils.models.pretrained import PRETRAINED, PretrainedNetwork
from genre_utils.models.weights import HubWeights, TorchvisionWeights, WeightsError
from genre_utils.project import ProjectError
from genre_utils.training import Machine

SR = 16000
GENRES = ("blues", "jazz", "metal")
PLAIN = Machine("cpu", bfloat16=False)


def save_hubert(folder: Path) -> None:
    """Write a tiny DistilHuBERT as the published one is: no head, and weights' older names."""
    config = transformers.HubertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        feat_proj_layer_norm=False,
        apply_spec_augment=False,
        final_dropout=0.0,
        layerdrop=0.0,
    )
    transformers.HubertModel(config).save_pretrained(folder)
    older = {"parametrizations.weight.original0": "weight_g"}
    older["parametrizations.weight.original1"] = "weight_v"
    state = load_file(folder / "model.safetensors")
    for new, old in older.items():
        state = {name.replace(new, old): value for name, value in state.items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    extractor = transformers.Wav2Vec2FeatureExtractor(
        do_normalize=False, return_attention_mask=False
    )
    extractor.save_pretrained(folder)


def ast_extractor() -> transformers.ASTFeatureExtractor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "At least one mel filter has all zero values")
        return transformers.ASTFeatureExtractor()


def save_ast(folder: Path) -> None:
    config = transformers.ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        frequency_stride=56,
        time_stride=64,
        num_labels=7,
    )
    transformers.ASTForAudioClassification(config).save_pretrained(folder)
    ast_extractor().save_pretrained(folder)


def save_vit(folder: Path) -> None:
    sizes = {"image_size": 32, "patch_size": 16, "num_layers": 1}
    sizes |= {"num_heads": 2, "hidden_dim": 16, "mlp_dim": 24}
    network = adapters.ViT.build(sizes, 7)
    PretrainedNetwork(PRETRAINED["vit_b_16"], tuple("abcdefg"), network).save(folder)


def save_resnet(folder: Path) -> None:
    network = adapters.ResNet.build({}, 7)
    PretrainedNetwork(PRETRAINED["resnet18"], tuple("abcdefg"), network).save(folder)


SAVE = {
    "resnet18": save_resnet,
    "vit_b_16": save_vit,
    "distilhubert": save_hubert,
    "ast": save_ast,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> dict[str, Path]:
    """A folder with a small network of random weights for each published one."""
    torch.manual_seed(0)
    folders = {name: tmp_path_factory.mktemp(name) / "published" for name in SAVE}
    for name, folder in folders.items():
        SAVE[name](folder)
    return folders


@pytest.fixture
def nothing_here(monkeypatch, tmp_path):
    """A computer without any weights and without a connection."""

    def offline(_):
        raise OSError("no network")

    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(TorchvisionWeights, "ask", offline)
    monkeypatch.setattr(HubWeights, "ask", offline)
    return tmp_path


@pytest.fixture(params=list(PRETRAINED))
def network(request, tiny) -> PretrainedNetwork:
    return pretrained.load(request.param, genres=GENRES, folder=tiny[request.param])


@pytest.fixture
def hubert(tiny) -> PretrainedNetwork:
    return pretrained.load("distilhubert", genres=GENRES, folder=tiny["distilhubert"])


def clip(seconds: float, *, seed: int = 0, pitch: float | None = None) -> np.ndarray:
    """A tone, if it has a pitch, in noise."""
    rng = np.random.default_rng(seed)
    y = rng.normal(scale=0.1, size=round(seconds * SR))
    if pitch:
        y += 0.3 * np.sin(2 * np.pi * pitch * np.arange(len(y)) / SR)
    return y.astype(np.float32)


def random_head(network: PretrainedNetwork) -> PretrainedNetwork:
    nn.init.normal_(network.network.head.weight)
    nn.init.normal_(network.network.head.bias)
    return network


def logits(network: PretrainedNetwork, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network.network.eval()(torch.from_numpy(x)).numpy()


def test_each_takes_clips_and_gives_an_embedding_a_clip_and_a_logit_a_genre(network):
    clips = [clip(21.0), clip(12.0, seed=1)]
    x, owner = network.rows(clips, sr=SR)
    assert owner.tolist() == [0, 0, 0, 1, 1] if network.source.window_s == 10 else [0, 0, 1, 1]
    assert x.dtype == (np.uint8 if network.source.input == "picture" else np.float32)
    assert logits(network, x).shape == (len(x), 3)
    embedded = network.embed(clips, sr=SR, machine=PLAIN)
    assert embedded.shape == (2, network.network.head.in_features)
    expected = pretrained.average(network.features(x, machine=PLAIN), owner)
    np.testing.assert_allclose(embedded, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(embedded[0] - embedded[1]).max() > 1e-4


def test_the_last_layer_is_linear_in_the_embedding(network):
    x = random_head(network).prepare(clip(10.0), sr=SR)
    head = network.network.head
    features = torch.from_numpy(network.features(x, machine=PLAIN))
    np.testing.assert_allclose(logits(network, x), head(features).detach(), rtol=1e-4, atol=1e-5)


def test_genres_are_the_labels_and_a_new_head_prefers_none(network):
    assert network.genres == GENRES
    assert not logits(network, network.prepare(clip(10.0), sr=SR)).any()
    if network.source.input == "audio":
        config = network.network.model.config
        assert config.id2label == {0: "blues", 1: "jazz", 2: "metal"}
        assert config.label2id == {"blues": 0, "jazz": 1, "metal": 2}


def test_a_network_saved_and_loaded_again_gives_the_same_logits(network, tmp_path):
    x = random_head(network).prepare(clip(11.0), sr=SR)
    folder = tmp_path / "saved"
    for _ in range(2):  # the second time there is a folder to take the place of
        PLAIN.put(network.network)
        assert network.save(folder) == folder
    again = pretrained.load(network.source.name, folder=folder)
    PLAIN.put(again.network)
    assert again.genres == GENRES and again.n_parameters == network.n_parameters
    np.testing.assert_array_equal(again.prepare(clip(11.0), sr=SR), x)
    np.testing.assert_array_equal(logits(again, x), logits(network, x))
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    assert not any(str(tmp_path) in path.read_text() for path in folder.glob("*.json"))
    assert all(path.suffix in (".json", ".safetensors") for path in folder.iterdir())


def test_saving_takes_the_place_of_nothing_but_a_network(hubert, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ProjectError, match="holds notes.txt"):
        hubert.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_new_genres_replace_a_saved_head_and_keep_the_rest(network, tmp_path):
    x = network.prepare(clip(10.0), sr=SR)
    random_head(network).save(tmp_path / "saved")
    other = pretrained.load(
        network.source.name, genres=["rock", "pop", "disco"], folder=tmp_path / "saved"
    )
    assert other.genres == ("rock", "pop", "disco") and not logits(other, x).any()
    before, after = (n.features(x, machine=PLAIN) for n in (network, other))
    np.testing.assert_array_equal(before, after)


def test_a_library_of_its_own_reads_a_saved_network(hubert, tmp_path):
    random_head(hubert).save(tmp_path / "saved")
    y = clip(10.0)
    classify = transformers.pipeline("audio-classification", str(tmp_path / "saved"), top_k=3)
    theirs = {answer["label"]: answer["score"] for answer in classify(y)}
    ours = torch.softmax(torch.from_numpy(logits(hubert, hubert.prepare(y, sr=SR))), dim=1)[0]
    assert theirs == pytest.approx(dict(zip(GENRES, ours.tolist(), strict=True)), abs=1e-5)


@pytest.mark.parametrize(
    ("seconds", "n_windows"), [(30.0, 3), (29.93, 3), (30.1, 3), (31.0, 4), (10.0, 1), (1.0, 1)]
)
def test_windows_cover_a_clip_evenly(hubert, seconds, n_windows):
    y = np.linspace(0, 1, round(seconds * SR), dtype=np.float32)
    windows = pretrained._windows(y, 10 * SR)
    assert len(hubert.prepare(y, sr=SR)) == len(windows) == n_windows
    assert windows[0][0] == 0 and windows[-1][-1] == 1
    steps = np.diff([window[0] for window in windows])
    np.testing.assert_allclose(steps, steps.mean() if len(steps) else 0, atol=1e-4)


def test_windows_are_standardised_each_by_itself_and_padding_is_marked(hubert):
    loud_then_soft = np.concatenate([clip(10.0), 0.1 * clip(10.0, seed=1)])
    x = hubert.prepare(loud_then_soft, sr=SR)
    np.testing.assert_allclose(x.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(axis=1), 1, atol=1e-2)
    short = hubert.prepare(3 + clip(1.0), sr=SR)
    assert short.shape == (1, 10 * SR)
    assert np.isnan(short[0, SR:]).all() and not np.isnan(short[0, :SR]).any()
    assert abs(short[0, :SR].mean()) < 1e-4


def test_padding_has_no_effect_on_the_embedding(hubert):
    padded = hubert.prepare(clip(1.0), sr=SR)
    alone = hubert.features(padded[:, :SR], machine=PLAIN)
    among = np.concatenate([hubert.prepare(clip(20.0, seed=1), sr=SR), padded])
    together = hubert.features(among, machine=PLAIN)[-1:]
    np.testing.assert_allclose(hubert.features(padded, machine=PLAIN), alone, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-5)
    shown = np.nan_to_num(padded)  # the same clip, its padding taken for silence
    assert np.abs(hubert.features(shown, machine=PLAIN) - alone).max() > 1e-2


def test_the_embedding_is_the_librarys_average_over_layers_and_time(hubert, tiny):
    x = hubert.prepare(clip(10.0), sr=SR)
    body = transformers.HubertModel.from_pretrained(tiny["distilhubert"]).eval()
    with torch.inference_mode():
        layers = body(torch.from_numpy(x), output_hidden_states=True).hidden_states
    expected = torch.stack(layers).mean(dim=(0, 2))
    np.testing.assert_allclose(hubert.features(x, machine=PLAIN), expected, rtol=1e-3, atol=1e-5)


def test_the_transformer_sees_what_its_own_extractor_makes(tiny):
    network = pretrained.load("ast", genres=GENRES, folder=tiny["ast"])
    y = clip(10.24)
    own = ast_extractor()(y, sampling_rate=SR)["input_values"]
    np.testing.assert_array_equal(network.prepare(y, sr=SR), own)


def test_clips_of_another_rate_are_resampled(hubert):
    y = clip(30.0, pitch=440.0)
    other = np.sin(2 * np.pi * 440 * np.arange(30 * 22050) / 22050)
    x, x_other = hubert.prepare(y - clip(30.0), sr=SR), hubert.prepare(other, sr=22050)
    np.testing.assert_allclose(x[:, 800:-800], x_other[:, 800:-800], atol=1e-2)


def test_pictures_may_have_any_size_and_a_short_clip_keeps_its_pace(tiny):
    network = pretrained.load("vit_b_16", genres=GENRES, folder=tiny["vit_b_16"])
    rng = np.random.default_rng(0)
    for shape in ((2, 370, 496), (2, 1, 64, 100), (2, 3, 32, 32)):
        pictures = rng.integers(0, 256, shape, dtype=np.uint8)
        assert network.features(pictures, machine=PLAIN).shape == (2, 16)
    beat = np.tile(np.r_[clip(0.25), np.zeros(SR // 4, np.float32)], 4)
    short, whole = network.prepare(beat, sr=SR), network.prepare(np.tile(beat, 5), sr=SR)
    assert short.shape == whole.shape == (1, 128, 432)
    assert np.abs(short.astype(int) - whole).mean() < 8


@pytest.mark.parametrize("y", [clip(0.05), np.full(SR, np.nan), np.zeros((2, SR))])
def test_signals_that_are_no_clip_are_refused(hubert, y):
    with pytest.raises(ProjectError, match="one channel of finite samples"):
        hubert.prepare(y, sr=SR)


def test_published_pictures_networks_start_from_the_fetched_weights(monkeypatch):
    torch.manual_seed(1)
    published = resnet.resnet18(weights=None).eval()
    monkeypatch.setattr(TorchvisionWeights, "fetch", lambda _: published.state_dict())
    network = pretrained.load("resnet18", genres=GENRES)
    x = np.random.default_rng(0).integers(0, 256, (1, 224, 224), dtype=np.uint8)
    features = network.features(x, machine=PLAIN)
    published.fc = nn.Identity()
    colours = torch.from_numpy(x)[:, None].expand(-1, 3, -1, -1)
    scale = resnet.IMAGENET.entry.transforms(resize_size=224)
    with torch.inference_mode():
        expected = published(scale(colours))
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(WeightsError, match="Vision Transformer.*weights differ"):
        pretrained.load("vit_b_16", genres=GENRES)


# Linear probe and fine-tuning


def labelled(n: int, *, seed: int = 0) -> tuple[list[np.ndarray], pd.DataFrame]:
    """Clips of three pitches, by four artists a genre."""
    number = np.arange(n)
    genre = number % 3
    clips = [clip(2.0, seed=seed + i, pitch=110.0 * 4**g) for i, g in enumerate(genre)]
    tracks = pd.DataFrame(
        {
            "track_id": [f"t{i:02d}" for i in number],
            "genre": np.take(GENRES, genre),
            "artist_id": [f"{g} {i % 4}" for i, g in zip(number // 3, genre, strict=True)],
        }
    )
    return clips, tracks


def clusters(n_genres: int, n: int = 60) -> tuple[np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(0)
    genre = np.arange(n) % n_genres
    X = rng.normal(size=(n, 8)) * np.linspace(0.1, 10, 8) + 5
    X[:, 0] += genre
    tracks = {"track_id": np.arange(n).astype(str), "genre": np.take(GENRES, genre)}
    return X, pd.DataFrame(tracks | {"artist_id": (np.arange(n) // 6).astype(str)})


@pytest.mark.parametrize("n_genres", [2, 3])
def test_a_probe_as_the_last_layer_says_the_same(n_genres):
    X, tracks = clusters(n_genres)
    found = finetuning.probe(X, tracks, genres=GENRES[:n_genres])
    assert found.search.score > 0.8 and found.search.n_trials == 10
    weight, bias = found.head()
    by_layer = torch.softmax(torch.from_numpy(X).float() @ weight.T + bias, dim=1)
    np.testing.assert_allclose(found.predict(X), by_layer, atol=1e-4)
    assert np.mean(np.take(GENRES, by_layer.argmax(dim=1)) == tracks["genre"]) > 0.8


def test_a_probe_is_chosen_with_artists_whole(monkeypatch):
    seen = []
    search = tuning.search
    monkeypatch.setattr(
        tuning, "search", lambda *args, **options: seen.append(args) or search(*args, **options)
    )
    X, tracks = clusters(3)
    finetuning.probe(X, tracks, genres=GENRES)
    ((_, X_seen, _, folds),) = seen
    assert X_seen is X and len(folds) == 3
    artists = tracks["artist_id"].to_numpy()
    for fit, score in folds:
        assert not set(artists[fit]) & set(artists[score])


def test_a_probe_needs_one_row_a_track_of_every_genre():
    X, tracks = clusters(3)
    for rows, genres in ((X[1:], GENRES), (X, (*GENRES, "pop")), (X, GENRES[:2])):
        with pytest.raises(ProjectError, match="expected one a track"):
            finetuning.probe(rows, tracks, genres=genres)


@pytest.mark.parametrize("name", ["vit_b_16", "distilhubert", "ast"])
def test_fine_tuning_goes_on_from_the_probe_and_lowers_the_loss(tiny, name, tmp_path):
    clips, tracks = labelled(18)
    network = pretrained.load(name, genres=GENRES, folder=tiny[name])
    X = network.embed(clips, sr=SR, machine=PLAIN)
    found = finetuning.probe(X, tracks, genres=GENRES)
    x, owner = network.rows(clips, sr=SR)
    y = np.arange(18)[owner] % 3
    recipe = replace(finetuning.RECIPE, epochs=4, batch_size=6, learning_rate=3e-3)
    before = {key: value.clone() for key, value in network.network.state_dict().items()}
    network.network.set_head(*found.head())
    np.testing.assert_allclose(
        torch.softmax(torch.from_numpy(logits(network, x)), dim=1), found.predict(X), atol=1e-3
    )
    network.network.begin()
    fit = finetuning.finetune(
        network, (x, y), start=found, recipe=recipe, checkpoint=tmp_path / "c.pt", machine=PLAIN
    )
    assert fit.history["train_loss"].iloc[-1] < fit.history["train_loss"].iloc[0]
    changed = {k for k, v in network.network.state_dict().items() if not torch.equal(v, before[k])}
    assert len(changed) > len(before) / 2
    assert not any("feature_extractor" in key for key in changed)
    network.save(tmp_path / "tuned")
    again = pretrained.load(name, folder=tmp_path / "tuned")
    np.testing.assert_array_equal(
        training.predict(again.network, x, machine=PLAIN),
        training.predict(network.network, x, machine=PLAIN),
    )


def test_fine_tuning_refuses_a_probe_of_other_genres(hubert):
    X, tracks = clusters(2)
    found = finetuning.probe(X, tracks, genres=GENRES[:2])
    x = hubert.prepare(clip(1.0), sr=SR)
    with pytest.raises(ProjectError, match="in this order"):
        finetuning.finetune(hubert, (x, np.zeros(1, int)), start=found)


# Weights that are not there, or are none


@pytest.mark.parametrize("name", list(PRETRAINED))
def test_offline_says_at_once_what_to_fetch_and_where_to_put_it(nothing_here, name):
    started = time.perf_counter()
    with pytest.raises(WeightsError, match=r"^weights not available here \(no network\)") as raised:
        pretrained.load(name, genres=GENRES)
    assert time.perf_counter() - started < 5
    source = PRETRAINED[name]
    assert source.url in str(raised.value) and str(nothing_here) in str(raised.value)
    if source.input == "audio":
        assert all(file in str(raised.value) for file in HubWeights.files)
        assert source.weights.revision in str(raised.value)
    assert not list(nothing_here.iterdir())


def test_availability_is_a_row_a_network_without_paths(nothing_here):
    started = time.perf_counter()
    table = pretrained.availability()
    assert time.perf_counter() - started < 5
    assert table["name"].tolist() == list(PRETRAINED)
    assert not table["available"].any()
    assert set(table["reason"]) == {"weights not available here"}
    assert table["licence"].str.len().gt(0).all() and table["size_mb"].between(10, 1000).all()
    assert not table.astype(str).apply(lambda c: c.str.contains(str(nothing_here))).any(axis=None)
    assert pretrained.availability(["ast"])["title"].tolist() == ["Audio Spectrogram Transformer"]
    assert pretrained.availability([]).columns.tolist() == table.columns.tolist()


def test_a_hub_that_never_answers_is_given_up(nothing_here, monkeypatch):
    monkeypatch.setattr("genre_utils.models.weights._PATIENCE_S", 0.1)
    monkeypatch.setattr(HubWeights, "ask", lambda _: time.sleep(3))
    started = time.perf_counter()
    with pytest.raises(WeightsError, match="no answer within 0.1 s"):
        pretrained.load("ast", genres=GENRES)
    assert pretrained.availability()["available"].sum() == 0
    assert time.perf_counter() - started < 2


def test_the_hubs_own_offline_switch_is_obeyed(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    started = time.perf_counter()
    with pytest.raises(WeightsError, match=r"weights not available here \(.*offline"):
        pretrained.load("distilhubert", genres=GENRES)
    assert time.perf_counter() - started < 5


def test_what_a_hub_answers_can_be_fetched(nothing_here, monkeypatch, tiny):
    monkeypatch.setattr(HubWeights, "ask", lambda _: None)
    monkeypatch.setattr(TorchvisionWeights, "ask", lambda _: None)
    assert set(pretrained.availability()["reason"]) == {"can be fetched"}
    asked = []

    def snapshot(repo, **options):
        asked.append((repo, options["revision"]))
        return str(tiny["distilhubert"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert pretrained.load("distilhubert", genres=GENRES).genres == GENRES
    weights = PRETRAINED["distilhubert"].weights
    assert asked == [(weights.repo, weights.revision)]

    def breaks(*_, **__):
        raise OSError("connection lost")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", breaks)
    with pytest.raises(WeightsError, match=r"not available here \(connection lost\)"):
        pretrained.load("distilhubert", genres=GENRES)
    monkeypatch.setattr(torch.hub, "download_url_to_file", breaks)
    with pytest.raises(WeightsError, match=r"not available here \(connection lost\)"):
        resnet.build(pretrained=True)


@pytest.mark.parametrize("place", ["by hand", "cache"])
def test_weights_on_this_computer_need_no_connection(nothing_here, tiny, place):
    weights = PRETRAINED["distilhubert"].weights
    cached = nothing_here / "hub" / f"models--{weights.repo.replace('/', '--')}"
    folder = weights.folder if place == "by hand" else cached / "snapshots" / weights.revision
    shutil.copytree(tiny["distilhubert"], folder)
    (row,) = pretrained.availability(["distilhubert"]).itertuples()
    assert row.available and row.reason == "on this computer"
    assert pretrained.load("distilhubert", genres=GENRES).genres == GENRES
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="not available here"):
        pretrained.load("distilhubert", genres=GENRES)


def test_without_transformers_the_rest_goes_on(nothing_here, monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda _: None)
    reasons = pretrained.availability().set_index("name")["reason"]
    assert reasons["resnet18"] == "weights not available here"
    assert reasons["ast"].startswith("weights not available here: transformers is not installed")
    with pytest.raises(WeightsError, match=r"\[transfer\]"):
        pretrained.load("ast", genres=GENRES)


def cut_off(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not weights at all")


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def one_missing(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    body = [name for name in state if "classifier" not in name and "head" not in name]
    state.pop(body[0])
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def one_of_another_size(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    name = next(n for n in state if n.endswith(("norm.weight", "ln.weight")))
    save_file(state | {name: torch.zeros(3)}, folder / "model.safetensors", {"format": "pt"})


def no_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("name", ["vit_b_16", "distilhubert", "ast"])
@pytest.mark.parametrize(
    "damage", [cut_off, no_weights, broken_config, one_missing, one_of_another_size, no_file]
)
def test_damaged_weights_are_told(tiny, tmp_path, name, damage):
    folder = tmp_path / "damaged"
    shutil.copytree(tiny[name], folder)
    damage(folder)
    with pytest.raises(WeightsError, match="damaged: holds no weights of .* that can be used"):
        pretrained.load(name, genres=GENRES, folder=folder)


def test_weights_of_another_network_are_told(tiny):
    with pytest.raises(WeightsError, match="it holds a hubert"):
        pretrained.load("ast", genres=GENRES, folder=tiny["distilhubert"])
    with pytest.raises(WeightsError, match="it holds vit_b_16"):
        pretrained.load("resnet18", genres=GENRES, folder=tiny["vit_b_16"])


def test_a_folder_without_a_head_needs_genres(tiny):
    with pytest.raises(WeightsError, match="missing or of another size: classifier"):
        pretrained.load("distilhubert", folder=tiny["distilhubert"])


def test_a_damaged_file_of_torchvision_is_told(nothing_here):
    file = resnet.IMAGENET.file
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(WeightsError, match="no whole file of weights .* delete it"):
        pretrained.load("resnet18", genres=GENRES)


def test_what_is_asked_for_must_be_known():
    with pytest.raises(ProjectError, match="expected one of resnet18, vit_b_16, distilhubert, ast"):
        pretrained.load("vgg", genres=GENRES)
    with pytest.raises(ProjectError, match="unknown pretrained network 'vgg'"):
        pretrained.availability(["vgg"])
    with pytest.raises(ValueError, match="genres of a new head"):
        pretrained.load("ast")


def test_published_sizes_are_those_of_the_networks():
    for source in PRETRAINED.values():
        if source.input == "picture":
            assert source.url.endswith(".pth")
            with torch.device("meta"):
                built = source.kind.build(source.architecture, 1000)
            n_bytes = sum(4 * p.numel() for p in built.model.parameters())
            assert source.size_mb == pytest.approx(n_bytes / 1e6, rel=0.01)
