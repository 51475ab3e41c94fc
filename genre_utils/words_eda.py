"""Captions and alt texts of the notebook on the data; every number comes from its tables."""

import pandas as pd

from genre_utils.datasets import Dataset
from genre_utils.eda import OpenPart, artist_shares, faulty_tracks
from genre_utils.words import count_of, enumeration

_NO_AUDIO = "There is no audio here, so there is nothing to show."
_TOO_FEW = "There are no features here, or of too few tracks to set genres apart."
_NO_FEATURES = "There are no features here: neither a table nor audio to compute them from."


def _extremes(table: pd.DataFrame, column: str) -> tuple:
    """Return the rows with the smallest and the largest value of a column."""
    ordered = table.dropna(subset=column).sort_values(column)
    return ordered.iloc[0], ordered.iloc[-1]


def _db(value: float) -> str:
    return f"{value:.0f} dB".replace("-", "−")


def _decimal(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _signed(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:+.{decimals}f}".replace("-", "−")


# ---------------------------------------------------------------- examples


def views_alt(kinds: list[str], measures: pd.DataFrame) -> str:
    """Return the alt text of a figure with one row a genre and one column a kind."""
    if measures.empty:
        return "An empty figure: there is no audio here."
    return (
        f"Grid of small panels. Rows: one example of {enumeration(measures['genre'])}. Columns: "
        f"{enumeration(kinds)}, over {measures['seconds'].max():g} seconds."
    )


def signals(measures: pd.DataFrame) -> str:
    """Return what waveform, loudness and zero-crossing rate of the examples show."""
    if measures.empty:
        return _NO_AUDIO
    quiet, loud = _extremes(measures, "rms_db")
    smooth, noisy = _extremes(measures, "zero_crossing_rate")
    return (
        f"The {loud['genre']} example is the loudest ({_db(loud['rms_db'])} against full scale), "
        f"{quiet['genre']} the quietest ({_db(quiet['rms_db'])}). The signal of {noisy['genre']} "
        f"changes its sign at {100 * noisy['zero_crossing_rate']:.0f} % of its samples, that of "
        f"{smooth['genre']} at {100 * smooth['zero_crossing_rate']:.0f} %: cymbals, distortion "
        "and consonants raise it. A spiky loudness curve is a drummed rhythm, a flat one a wall "
        "of sound."
    )


def spectra(measures: pd.DataFrame) -> str:
    """Return what the spectral pictures of the examples show."""
    if measures.empty:
        return _NO_AUDIO
    dull, bright = _extremes(measures, "centroid_hz")
    spread, tonal = _extremes(measures, "pitch_share")
    return (
        f"{bright['genre'].capitalize()} has the brightest example: its spectrum balances at "
        f"{bright['centroid_hz']:,.0f} Hz, that of {dull['genre']} at "
        f"{dull['centroid_hz']:,.0f} Hz. The mel axis gives the low octaves more room than "
        f"the linear one. In the chroma, {tonal['genre']} leans most on one pitch "
        f"({tonal['pitch_class']}, {100 * tonal['pitch_share']:.0f} % of the whole); in "
        f"{spread['genre']} the strongest has {100 * spread['pitch_share']:.0f} %, with "
        f"{100 / 12:.0f} % being no pitch at all."
    )


def structure(measures: pd.DataFrame) -> str:
    """Return what tempogram and the harmonic and percussive parts of the examples show."""
    if measures.empty:
        return _NO_AUDIO
    held, drummed = _extremes(measures, "percussive_share")
    slow, fast = _extremes(measures, "tempo_bpm")
    return (
        f"Bright lines in a tempogram are tempos that repeat; a steady groove draws them straight "
        f"through, at the tempo and its multiples. Estimates go from {slow['tempo_bpm']:.0f} "
        f"({slow['genre']}) to {fast['tempo_bpm']:.0f} beats per minute ({fast['genre']}). "
        f"{100 * drummed['percussive_share']:.0f} % of the {drummed['genre']} example's energy is "
        f"percussive (upright lines), of {held['genre']} {100 * held['percussive_share']:.0f} %. "
        "One clip is an example, not a genre: the sections on all tracks follow."
    )


def frames_alt(measures: pd.DataFrame, genre: str) -> str:
    """Return the alt text of the figure of frames."""
    if measures.empty:
        return "An empty figure: there is no audio here."
    clips = enumeration(measures["clip"])
    return f"Ten representations (rows) of {clips} (columns) of one {genre} track."


def frames(measures: pd.DataFrame) -> str:
    """Return what is lost in a short frame.

    Parameters
    ----------
    measures : pd.DataFrame
        As `eda.measures` returns them: frames from the shortest on, the whole clip last.
    """
    if len(measures) < 2:
        return _NO_AUDIO if measures.empty else "The clip is too short to be cut into frames."
    whole, cut = measures.iloc[-1], measures.iloc[:-1]
    changes = cut.assign(
        brightness=100 * (cut["centroid_hz"] / whole["centroid_hz"] - 1),
        loudness=cut["rms_db"] - whole["rms_db"],
    )
    listed = "; ".join(
        f"{row.clip} by {_signed(row.brightness, 0)} % and {_signed(row.loudness, 1)} dB"
        for row in changes.itertuples()
    )
    tempi = ", ".join(f"{row.tempo_bpm:.0f} ({row.clip})" for row in measures.itertuples())
    return (
        f"All frames share their centre; a frame holds what the music does just then, the whole "
        f"clip an average. Off the whole clip's brightness and loudness are: {listed}. Tempo is "
        f"estimated at {tempi} beats per minute: the fewer beats, the less there is to count. "
        "Energy, timbre and pitch can be seen in any frame; the tempogram and the form of the "
        "piece need time."
    )


# ---------------------------------------------------------------- all tracks


def contents_alt(balance: pd.DataFrame) -> str:
    """Return the alt text of the figure on balance, durations and loudness."""
    counts = ", ".join(f"{row.genre} {row.n_tracks}" for row in balance.itertuples())
    return f"Three panels by genre: tracks ({counts}), durations, and loudness of each track."


def contents(balance: pd.DataFrame, measured: pd.DataFrame) -> str:
    """Return what the figure on balance, durations and loudness shows."""
    few, many = balance["n_tracks"].min(), balance["n_tracks"].max()
    text = (
        f"Every genre has {few} tracks: accuracy needs no weighting."
        if few == many
        else f"The genres have between {few} and {many} tracks: accuracy favours the larger, so "
        "read macro F1."
    )
    text += (
        f" Sound is here for {count_of(balance['n_audio'].sum(), 'track')}, a picture for "
        f"{balance['n_pictures'].sum():,}."
    )
    if measured.empty:
        return f"{text} Durations and loudness need audio."
    short = int(measured["duration_s"].lt(measured["duration_s"].median() - 0.5).sum())
    quiet, loud = _extremes(balance, "median_rms_db")
    spread = measured.groupby("genre")["rms_db"].agg(lambda v: v.max() - v.min())
    return (
        f"{text} Clips last {measured['duration_s'].min():.1f} to "
        f"{measured['duration_s'].max():.1f} s (median {measured['duration_s'].median():.1f} s); "
        f"{short or 'none'} of them more than half a second below the median. "
        f"{loud['genre'].capitalize()} is the loudest genre (median "
        f"{_db(loud['median_rms_db'])}), {quiet['genre']} the quietest "
        f"({_db(quiet['median_rms_db'])}). Within {spread.idxmax()} loudness spans "
        f"{spread.max():.0f} dB: a model can use loudness, but a mastering engineer sets it, "
        "not a genre."
    )


def open_part(part: OpenPart, n_all: int) -> str:
    """Return which tracks the sections on features rest on, and why."""
    n = len(part.track_ids)
    if part.is_training_part:
        return (
            f"The sections from here to the maps look at **{n} of the {n_all:,} tracks**: the "
            "training part of the fault-filtered split. Features and models are chosen after "
            "looking, and what was looked at must not be tested on."
        )
    return (
        f"This data set has no fault-filtered training part with enough tracks of every genre, so "
        f"the sections from here to the maps look at **all {n:,} tracks**. Whoever chooses "
        "features by them has seen the test part: judge such a choice on other data."
    )


def distributions_alt(spreads: pd.DataFrame) -> str:
    """Return the alt text of the figure of feature distributions."""
    if spreads.empty:
        return "An empty figure: there are no features here."
    longest = spreads[spreads["segment_s"] == spreads["segment_s"].max()]
    parts = [
        f"{row.feature} is lowest in {row.lowest} and highest in {row.highest}"
        for row in longest.itertuples()
    ]
    return f"Box plots by genre and segment length. {'; '.join(parts)}."


def distributions(spreads: pd.DataFrame) -> str:
    """Return what the feature distributions show."""
    if spreads.empty:
        return _NO_FEATURES
    longest, shortest = spreads["segment_s"].max(), spreads["segment_s"].min()
    whole = spreads[spreads["segment_s"] == longest]
    best = whole.sort_values("between_genres").iloc[-1]
    low, high = _nice(best["feature"], best["lowest_median"], best["highest_median"])
    text = (
        f"Of these, `{best['feature']}` depends most on the genre: {best['lowest']} lies lowest "
        f"(median {low}) and {best['highest']} highest ({high}), and "
        f"{100 * best['between_genres']:.0f} % of its variance over "
        f"{count_of(best['n_tracks'], 'track')} lies between genres."
    )
    if longest == shortest:
        return text
    short = spreads[spreads["segment_s"] == shortest]
    same = short.set_index("feature")["between_genres"]
    inside = short.sort_values("within_track").iloc[-1]
    return (
        f"{text} On {shortest:g}-s segments ({count_of(short['n_segments'].max(), 'segment')} of "
        f"{count_of(short['n_tracks'].max(), 'track')}) the boxes hardly move and only grow: that "
        f"share is {100 * same[best['feature']]:.0f} %. Segments of one track are no new "
        f"evidence: even of `{inside['feature']}`, which changes most within a track, only "
        f"{100 * inside['within_track']:.0f} % of the variance is between segments of the same "
        "track."
    )


def _nice(feature: str, *values: float) -> list[str]:
    hertz = ("spectral_centroid_mean", "spectral_bandwidth_mean", "rolloff_mean")
    return [f"{v:,.0f} Hz" if feature in hertz else f"{v:.3g}" for v in values]


def correlations_alt(pairs: pd.DataFrame) -> str:
    """Return the alt text of the correlation heat map."""
    if pairs.empty:
        return "An empty figure: there are no features here."
    top = pairs.iloc[0]
    return (
        f"Heat map of rank correlations between {pairs['feature'].nunique() + 1} features. "
        f"Strongest: {top['feature']} and {top['other']}, {_decimal(top['r'])}."
    )


def correlations(pairs: pd.DataFrame) -> str:
    """Return what the correlation heat map shows."""
    if pairs.empty:
        return _NO_FEATURES
    top = pairs.head(3)
    strong = int((pairs["r"].abs() > 0.9).sum())
    listed = enumeration(
        f"`{r.feature}` with `{r.other}` ({_decimal(r.r)})" for r in top.itertuples()
    )
    return (
        f"The 57 features are far fewer than 57 facts: {count_of(strong, 'pair')} correlate by "
        f"more than 0.9 in size, first {listed}. Centroid, rolloff, bandwidth, zero-crossing rate "
        "and the second MFCC all measure brightness; RMS, the harmonic and percussive variances "
        "and the first MFCC all measure loudness. The importance of one feature is therefore "
        "shared among its twins."
    )


def tempos_alt(tempos: pd.DataFrame) -> str:
    """Return the alt text of the tempo figure."""
    if tempos.empty:
        return "An empty figure: there are no features here."
    medians = tempos.groupby("genre")["tempo"].median().sort_values()
    listed = ", ".join(f"{genre} {value:.0f}" for genre, value in medians.items())
    return f"Strip chart of tempo by genre. Medians in beats per minute: {listed}."


def tempos(tempos: pd.DataFrame) -> str:
    """Return what the tempo figure shows."""
    if tempos.empty:
        return _NO_FEATURES
    medians = tempos.groupby("genre")["tempo"].median().sort_values()
    spread = tempos.groupby("genre")["tempo"].agg(lambda v: v.quantile(0.75) - v.quantile(0.25))
    return (
        f"Median tempos lie between {medians.iloc[0]:.0f} ({medians.index[0]}) and "
        f"{medians.iloc[-1]:.0f} beats per minute ({medians.index[-1]}). "
        f"{spread.idxmin().capitalize()} is the most uniform (middle half within "
        f"{spread.min():.0f} BPM), {spread.idxmax()} the least ({spread.max():.0f} BPM). Dots "
        f"stand in columns, since the estimator knows few values "
        f"({tempos['tempo'].nunique()} different ones for {count_of(len(tempos), 'item')}), "
        f"prefers those near 120 ({100 * tempos['tempo'].between(90, 160).mean():.0f} % lie "
        "between 90 and 160) and often takes half or double the tempo: read it as a hint."
    )


def projections_alt(neighbours: pd.DataFrame) -> str:
    """Return the alt text of the two maps."""
    if neighbours.empty:
        return "An empty figure: too few tracks for a map."
    apart, mixed = _extremes(neighbours, "same_genre")[::-1]
    return (
        f"Two scatter plots of tracks coloured by genre, PCA and t-SNE. {apart['genre']} keeps "
        f"most to itself, {mixed['genre']} least."
    )


def projections(projection: pd.DataFrame, neighbours: pd.DataFrame) -> str:
    """Return what the two maps show."""
    if neighbours.empty:
        return _TOO_FEW
    explained = projection.attrs["explained"]
    total, needed = 0.0, 0
    while total < 0.9 and needed < len(explained):
        total, needed = total + explained[needed], needed + 1
    mixed, apart = _extremes(neighbours, "same_genre")
    weights = neighbours["n_tracks"]
    overall = (neighbours["same_genre"] * weights).sum() / weights.sum()
    chance = (neighbours["by_chance"] * weights).sum() / weights.sum()
    text = (
        f"Two components hold {100 * sum(explained[:2]):.0f} % of the variance; {needed} are "
        f"needed for 90 %. Genres form clouds that overlap, not islands: the nearest neighbour "
        f"in all 57 features is of the same genre for {100 * overall:.0f} % of the tracks (by "
        f"chance {100 * chance:.0f} %), most often in {apart['genre']} "
        f"({100 * apart['same_genre']:.0f} %), least in {mixed['genre']} "
        f"({100 * mixed['same_genre']:.0f} %)."
    )
    if neighbours["same_genre_other_artist"].isna().all():
        return text
    other = (neighbours["same_genre_other_artist"] * weights).sum() / weights.sum()
    drop = (neighbours["same_genre"] - neighbours["same_genre_other_artist"]).rename("drop")
    worst = neighbours.assign(drop=drop).sort_values("drop").iloc[-1]
    return (
        f"{text} Leave out neighbours by the same artist, and {100 * other:.0f} % remain; "
        f"{worst['genre']} loses most ({100 * worst['drop']:.0f} points). Part of what looks like "
        "a genre on such a map is an artist."
    )


def separation_alt(separation: pd.DataFrame) -> str:
    """Return the alt text of the figure on what tells genres apart."""
    if separation.empty:
        return "An empty figure: too few tracks to part them."
    low, high = _extremes(separation[separation["feature_group"] == "all 57"], "auc")
    return (
        f"Heat map of AUC by genre and feature group, beside a bar chart of the single features "
        f"that depend most on the genre. With all features: {high['genre']} {high['auc']:.2f}, "
        f"{low['genre']} {low['auc']:.2f}."
    )


def separation(separation: pd.DataFrame, ranking: pd.DataFrame) -> str:
    """Return which features tell which genres apart."""
    if separation.empty:
        return _TOO_FEW
    single = separation[separation["feature_group"] != "all 57"]
    means = single.groupby("feature_group")["auc"].mean().sort_values()
    best = single[single["feature_group"] != means.index[-1]].sort_values("auc").iloc[-1]
    hard, easy = _extremes(separation[separation["feature_group"] == "all 57"], "auc")
    text = (
        f"An AUC of 0.5 is guessing, 1 perfect. One group does most of the work: "
        f"`{means.index[-1]}` (mean AUC {means.iloc[-1]:.2f}); `{means.index[0]}` tells least "
        f"({means.iloc[0]:.2f}). A single description can suffice for one genre: "
        f"`{best['feature_group']}` alone sets {best['genre']} apart with {best['auc']:.2f}. "
        f"With all features {easy['genre']} is the easiest ({easy['auc']:.2f}) and "
        f"{hard['genre']} the hardest ({hard['auc']:.2f}). Feature by feature, "
        f"`{ranking['feature'].iloc[0]}` depends most on the genre "
        f"({100 * ranking['between_genres'].iloc[0]:.0f} % of the variance of its ranks)."
    )
    worst, _ = _extremes(single, "auc")
    if worst["auc"] < 0.45:
        text += (
            f" Below 0.5, as for {worst['genre']} by `{worst['feature_group']}` "
            f"({worst['auc']:.2f}), what was learned of some artists misleads about others."
        )
    return text


def artists_alt(artists: pd.DataFrame) -> str:
    """Return the alt text of the figure of artists."""
    known = artists.dropna(subset="n_artists")
    if known.empty:
        return "An empty figure: no artist is known here."
    listed = ", ".join(f"{row.genre} {row.n_artists}" for row in known.itertuples())
    return f"Stacked bars of tracks by artist, one bar a genre. Number of artists: {listed}."


def artists(artists: pd.DataFrame) -> str:
    """Return what the artists mean for splitting."""
    known = artists.dropna(subset="n_artists")
    if known.empty:
        return (
            "No artist is known here, so nobody can tell how much of a result is leakage through "
            "artists. Add a `tracks.csv` with `track_id` and `artist_id`."
        )
    few, _ = _extremes(known, "n_artists")
    _, large = _extremes(known, "largest_artist_share")
    counted = (
        f"Every genre has {count_of(few['n_artists'], 'artist')}"
        if known["n_artists"].nunique() == 1
        else f"{few['genre'].capitalize()} has only {count_of(few['n_artists'], 'artist')}"
    )
    text = (
        f"{counted}; in "
        f"{large['genre']} one artist made {100 * large['largest_artist_share']:.0f} % of the "
        "tracks with a known artist."
    )
    unknown = artists[artists["n_unknown"] > 0]
    if len(unknown):
        listed = ", ".join(f"{row.genre} {row.n_unknown}" for row in unknown.itertuples())
        text += (
            f" Of {count_of(unknown['n_unknown'].sum(), 'track')} the artist is not known "
            f"({listed}): an artist may have made more than the figure shows."
        )
    single = known.loc[known["n_artists"].eq(1), "genre"]
    if len(single):
        text += (
            f" {enumeration(single).capitalize()} come from one artist each, so that artist and "
            "genre cannot be told apart and artist-disjoint folds are impossible."
        )
    seen = known["seen_artist_share"]
    if seen.notna().any():
        weights = known["n_tracks"] - known["n_unknown"]
        text += (
            f" Split tracks at random into five folds, and "
            f"{100 * (seen * weights).sum() / weights.sum():.0f} % of the test tracks are by an "
            "artist who is in the training part, too: such a test rewards knowing the artist. "
            "Keep artists whole when you split, and expect a genre with few artists to be judged "
            "by very few."
        )
    return text


# ---------------------------------------------------------------- faults


def faults(counts: pd.DataFrame, findings: pd.DataFrame, dataset: Dataset) -> str:
    """Return what the audit found."""
    n_audio = dataset.tracks["audio_path"].notna().sum()
    basis = f"{count_of(n_audio, 'sound file')}, {len(dataset.tracks):,} tracks in the index"
    if counts.empty:
        return f"The audit ({basis}) found nothing wrong."
    listed = enumeration(
        f"{row.fault.replace('_', ' ')} ({row.n_findings:,})" for row in counts.itertuples()
    )
    text = (
        f"The audit ({basis}) has {count_of(len(findings), 'finding')}: "
        f"{listed}. Apart from pairs that are only similar, they concern "
        f"{count_of(len(faulty_tracks(findings)), 'track')}. Each is a row of "
        f"`results/{dataset.name}/audit.csv`, with its reason."
    )
    pairs = findings[findings["severity"].ne("similar")].dropna(subset="partner")
    repeating = set(pairs["track_id"]) | set(pairs["partner"])
    tracks = dataset.tracks
    unknown = tracks.loc[tracks["artist_id"].isna(), "track_id"]
    n_repeating = unknown.isin(repeating).sum()
    if n_repeating and len(unknown) < len(tracks):
        text += (
            f" Of the {count_of(len(unknown), 'track')} without a known artist, {n_repeating} "
            f"{'repeats' if n_repeating == 1 else 'repeat'} another track."
        )
    return text


def literature(table: pd.DataFrame) -> str:
    """Return how the audit's findings compare with the literature on GTZAN."""
    if table.empty:
        return "Nobody has published a list of this data set's faults to compare with."
    counted = table[table["reported"] > 1]
    named = table[table["reported"] == 1]
    listed = "; ".join(
        f"{row.claim}: {row.found} of {row.reported} reported" for row in counted.itertuples()
    )
    return (
        f"Counted as Sturm (2012, 2013) counts: {listed}. Found of "
        f"{count_of(len(named), 'fault')} that are named track by track: "
        f"{int((named['found'] > 0).sum())}. The sound of "
        f"{count_of(int(counted['seen_audio'].max()), 'track')} was here to be listened to; the "
        "others were compared by tables and pictures, which miss what was cut or recorded "
        "differently. Equal numbers do not mean the same pairs."
    )


def fingerprint_trial(table: pd.DataFrame) -> str:
    """Return how many altered copies the fingerprint found, and how many it made up."""
    if table.empty:
        return "There is no audio here to try the fingerprint on."
    sums = table.sum(numeric_only=True)
    return (
        f"{sums['n_found']:.0f} of {sums['n_copies']:.0f} altered copies were found, and "
        f"{sums['n_wrong']:.0f} of {sums['n_unrelated']:,.0f} unrelated pairs were joined. The "
        "fingerprint's thresholds were set on clips of GTZAN, so on GTZAN this is no independent "
        "test."
    )


def cases_alt(cases: pd.DataFrame) -> str:
    """Return the alt text of the figure of the worst cases."""
    if cases.empty:
        return "An empty figure: no finding has sound or a picture here."
    listed = enumeration(
        f"{row.track_id} ({row.fault.replace('_', ' ')})" for row in cases.itertuples()
    )
    return f"Waveforms and spectrograms, or pictures, of {listed}."


def cases(cases: pd.DataFrame) -> str:
    """Return what the figure of the worst cases shows."""
    if cases.empty:
        return "No finding has sound or a picture here."
    listed = "; ".join(f"`{row.track_id}`: {row.reason}" for row in cases.itertuples())
    paired = cases["partner"].notna().any()
    return (
        (
            f"The worst of each kind that the audit finds, and of the faults that others have "
            f"reported. {listed}."
            + (
                " A track and its partner stand side by side: compare their pictures."
                if paired
                else ""
            )
        )
        .replace("{", "{{")
        .replace("}", "}}")
    )


# ---------------------------------------------------------------- data card and answer

_GTZAN_CARD = {
    "Origin": "Collected in 2000 and 2001 by George Tzanetakis from personal CDs, radio and "
    "microphone recordings, on purpose under many recording conditions: 1,000 excerpts of 30 s, "
    "100 of each of ten genres, mono, 22,050 Hz, 16 bits (Tzanetakis & Cook 2002). Titles and "
    "artists came without; Sturm (2013) found most of them by fingerprints and by ear.",
    "Licence": "{licence} Cite: {citation}",
    "Consent": "As far as is known, nobody whose music, playing or voice is in it was asked, for "
    "research or for training models. That is why this project stores links, features and "
    "numbers but no sound.",
    "Bias of the collection": "What was at hand to its collector around 2001: mostly "
    "English-language, commercially released, Western music. A few artists stand for a genre: 35 "
    "reggae tracks are Bob Marley's, 24 pop tracks Britney Spears's (Sturm 2012){marked}. One "
    "label a track, and no written definition of any label.",
    "Known faults": "50 exact repetitions, 22 further excerpts of a recording that is there "
    "already, 13 other versions of one; 43 conspicuous and 63 contentious wrong labels; excerpts "
    "spoilt by distortion (Sturm 2012, 2013). The widely used copy has a file that cannot be "
    "decoded (`jazz.00054`), and its 57-feature tables repeat the repetitions.",
    "Proper use": "Teaching, and studies of evaluation itself. Keep artists whole (folds of "
    "Foleiss & Tavares 2020) or use the fault-filtered split (Kereliuk, Sturm & Larsen 2015), "
    "name the split with every number, and give an interval.",
    "Not for": "Claims that genre recognition is solved, claims about music today or from "
    "elsewhere, products, and models that imitate the artists.",
    "Sources": "Tzanetakis & Cook 2002, doi:10.1109/TSA.2002.800560; Sturm 2012, "
    "doi:10.1145/2390848.2390851; Sturm 2013, arXiv:1306.1461; Kereliuk, Sturm & Larsen 2015, "
    "arXiv:1507.04761; Foleiss & Tavares 2020, doi:10.1016/j.asoc.2020.106127.",
}
_DEMO_CARD = {
    "Origin": "Generated by this project from a seed: ten sets of rules named after genres, five "
    "invented artists each, two tracks an artist.",
    "Licence": "{licence}",
    "Consent": "No recording, no composition and no voice of anybody is in it.",
    "Bias of the collection": "Caricatures: a genre here is what its rules say, and the rules are "
    "the conventions of Western popular music.",
    "Known faults": "None are built in; what the audit lists above is what it finds.",
    "Proper use": "To try and to test the study. Every number from it is labelled as synthetic.",
    "Not for": "Any statement about music.",
    "Sources": "{citation}",
}
_OWN_CARD = {
    "Origin": "The folder `{title}`, with one sub-folder a genre. Write down who collected it, "
    "when, and from where.",
    "Licence": "{licence}",
    "Consent": "Ask: may these recordings be analysed, and may models be trained on them?",
    "Bias of the collection": "Ask: whose music is missing? The section on artists above says how "
    "many stand for each genre.",
    "Known faults": "What the audit above lists, and whatever it cannot hear: wrong labels.",
    "Proper use": "Keep artists whole when splitting; name the split with every number.",
    "Not for": "Comparisons with published numbers on other data sets.",
    "Sources": "{citation}",
}


def data_card(dataset: Dataset) -> str:
    """Return the data card as a Markdown table: origin, terms, bias, faults, proper use."""
    if dataset.synthetic:
        card = _DEMO_CARD
    else:
        card = _GTZAN_CARD if dataset.name in ("gtzan", "gtzan-mini") else _OWN_CARD
    facts = {
        "licence": dataset.licence,
        "citation": dataset.citation,
        "title": dataset.title,
        "marked": _marked_artists(dataset, ("reggae", "pop")),
    }
    rows = [f"| **{name}** | {text.format(**facts)} |" for name, text in card.items()]
    return "\n".join([f"| | {dataset.title} |", "|---|---|", *rows])


def _marked_artists(dataset: Dataset, genres: tuple[str, ...]) -> str:
    """Return how many tracks the index gives the largest artists, where it lacks some artists."""
    tracks = dataset.tracks[dataset.tracks["genre"].isin(genres)]
    n_unknown = tracks["artist_id"].isna().groupby(tracks["genre"]).sum().reindex(list(genres))
    largest = artist_shares(dataset).groupby("genre")["n_tracks"].max().reindex(list(genres))
    if not (n_unknown.gt(0) & largest.gt(0)).all():
        return ""
    left_out = enumeration(f"{number:.0f} of {genre}" for genre, number in n_unknown.items())
    return (
        f"; the artist numbers used here leave out repetitions and spoilt tracks, {left_out}, and "
        f"give the largest artists {enumeration(largest.astype(int))} tracks"
    )


def portraits(portraits: pd.DataFrame) -> str:
    """Return one line a genre as a Markdown list: how it sounds, and what to beware of."""
    if portraits.empty:
        return _NO_FEATURES
    dull, bright = _extremes(portraits, "centroid_hz")
    lines = []
    for row in portraits.itertuples():
        remarks = [
            f"around {row.tempo_bpm:.0f} beats per minute",
            f"spectrum balanced at {row.centroid_hz:,.0f} Hz"
            + {bright["genre"]: " (the brightest)", dull["genre"]: " (the darkest)"}.get(
                row.genre, ""
            ),
            f"{100 * row.percussive_share:.0f} % percussive",
        ]
        if pd.notna(row.telling_auc):
            remarks.append(
                f"MFCCs aside, told best by {row.telling_group} (AUC {row.telling_auc:.2f})"
            )
        if pd.notna(row.nearest_other):
            remarks.append(f"most easily taken for {row.nearest_other}")
        if pd.notna(row.n_artists):
            remarks.append(
                f"{count_of(row.n_artists, 'artist')}, the largest with "
                f"{100 * row.largest_artist_share:.0f} % of the tracks"
            )
        if row.n_faulty:
            remarks.append(f"{count_of(row.n_faulty, 'track')} with a finding of the audit")
        lines.append(f"- **{row.genre}**: {'; '.join(remarks)}.")
    return "\n".join(lines)


def answer(
    balance: pd.DataFrame,
    portraits: pd.DataFrame,
    artists: pd.DataFrame,
    findings: pd.DataFrame,
    dataset: Dataset,
) -> str:
    """Return the notebook's answer: what is in the data and what is wrong with it."""
    text = (
        f"**What is in it:** {count_of(len(dataset.tracks), 'track')} of "
        f"{count_of(len(dataset.genres), 'genre')}, {balance['n_audio'].sum():,} with sound "
        f"({balance['hours'].sum():.1f} hours)."
    )
    if portraits["auc_all"].notna().any():
        hard, easy = _extremes(portraits, "auc_all")
        dull, bright = _extremes(portraits, "centroid_hz")
        text += (
            f" **How the genres differ:** in brightness from {dull['genre']} "
            f"({dull['centroid_hz']:,.0f} Hz) to {bright['genre']} ({bright['centroid_hz']:,.0f} "
            f"Hz); {easy['genre']} is the easiest to tell by all features, {hard['genre']} "
            "the hardest."
        )
    known = artists.dropna(subset="n_artists")
    text += " **What is wrong with it:** "
    if len(known):
        _, large = _extremes(known, "largest_artist_share")
        text += (
            f"few artists stand for a genre (at worst one for "
            f"{100 * large['largest_artist_share']:.0f} % of {large['genre']}), "
        )
    else:
        text += "its artists are not known, "
    return text + (
        f"and the audit finds a fault or an oddity in "
        f"{count_of(len(faulty_tracks(findings)), 'track')}. Split by artist, leave the "
        "repetitions out, and the numbers that follow mean something."
    )
