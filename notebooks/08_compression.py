# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · Compression
#
# **Question.** How small and how fast can a network get before it forgets? Which network is the
# right one for a phone, a web page, a watch?
#
# **Inputs.** Mel spectrograms and the table of 57 features, as in the notebooks before; the
# ensemble of notebook 07 teaches, where it is stored; more seeds of the reference are those of
# notebook 04, where it has any. **Running time.** Seconds from stored predictions and measurements;
# a minute or two on the demo data; some hours on GTZAN with two cores.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
variants = None
reference = "resnet18_mel"
quantised = ["resnet18_dynamic", "resnet18_static", "resnet18_int8"]
eager = ["resnet18_mel", "resnet_small"]
runtimes = ["onnxruntime", "ExecuTorch"]
epochs = None
seed = 0
threads = [1, 2]
rounds = 11
seconds = 0.2
n_boot = 2000

# %%
from genre_utils import (
    compression,
    datasets,
    measuring,
    plots_compression,
    tables_compression,
    words_compression,
)
from genre_utils.results import Report, prose

data = datasets.load(dataset)
report = Report("08_compression", dataset=data, profile=profile)
kinds = compression.VARIANTS
chance = 1 / len(data.genres)
report.header()

# %% [markdown]
# ## Ways to make a network small
#
# - **Quantisation** rounds weights, and what passes between layers, from 32 bits to eight.
#   *Dynamic* quantisation measures ranges as they come, *static* quantisation on training clips
#   beforehand; *trained* quantisation lets the network get used to being rounded.
# - **Pruning** holds the smallest weights to zero. Scattered zeros make a file that packs well,
#   and a network that is as slow as before. Taking out whole **channels** makes it really
#   smaller and faster.
# - **Deep compression** (Han, Mao & Dally, ICLR 2016) prunes, lets the weights of a layer share
#   a few values, and stores which has which in a code where frequent values have short names.
# - **Distillation** trains a small network, the student, on what a good one says of a clip.
#   A label is one word; a teacher's probabilities also say what the clip resembles. The soft
#   labels are of training tracks, by models that had not heard these.
#
# Every choice (how many weights can go, which epoch to keep) is made on the validation part.

# %%
result = compression.run(
    data,
    variants=variants,
    study=report.notebook,
    outputs=report.outputs,
    epochs=epochs,
    seed=seed,
)
report.keep_predictions(report.notebook, f"{report.notebook}_teachers")
report.table(tables_compression.described(kinds, result.runs), "variants")

# %%
seeds = tables_compression.reference_seeds(result, report.outputs, reference=reference)
prose(words_compression.training_line(result, seeds))

# %% [markdown]
# ## Measuring
#
# Files are exported for **onnxruntime** (servers, laptops, web pages) and **ExecuTorch**
# (phones). The reference is what most code does: the 32-bit network, run layer by layer in
# PyTorch ("eager").

# %%
measured = measuring.measured(
    data,
    result,
    study=report.notebook,
    outputs=report.outputs,
    runtimes=runtimes,
    eager=eager,
    threads=threads,
    rounds=rounds,
    seconds=seconds,
)
report.keep_predictions(f"{report.notebook}_measured")
times = report.table(tables_compression.latencies(measured, reference=reference), "times")
prose(words_compression.machine_line(measured))

# %% [markdown]
# ## All variants
#
# Size is that of the file that runs as it is; *stored* is what it can be packed into, where that
# is smaller. Each variant is compared with its origin (the network its line began with, or its
# teacher) and with the best deployable network. Students of labels alone have no origin; they are
# held against the ensemble that taught the others.

# %%
table = tables_compression.compared(
    result,
    data,
    times,
    variants=kinds,
    reference=reference,
    n_boot=n_boot,
    teachers=tables_compression.ensemble(report.outputs),
)
report.table(table, "compression")
prose(words_compression.best_line(table))

# %% tags=["nbval-check-output"]
tables_compression.to_read(table)

# %%
tables_compression.costs_to_read(table)

# %%
prose(words_compression.cost_line(table, reference=reference))

# %% tags=["key-figure"]
report.figure(
    plots_compression.pareto(table, chance=chance),
    "pareto",
    alt=plots_compression.pareto_alt(table),
)

# %% [markdown]
# ## What does a teacher add?
#
# A student that was taught is held against the same network from labels alone: the same first
# weights, as many epochs.

# %%
gains = tables_compression.distilled(result, variants=kinds, n_boot=n_boot)
report.table(gains, "distilled")
prose(words_compression.distilled_line(gains))

# %% [markdown]
# ## The same network in several runtimes
#
# Eight bits are fast only where the runtime has code for them, and the processor instructions.

# %%
titles = tables_compression.titles(kinds, times)
report.figure(
    plots_compression.runtimes(times, titles),
    "runtimes",
    alt=plots_compression.runtimes_alt(times, titles),
)

# %%
tables_compression.in_runtimes(times, kinds)

# %%
agreement = report.table(tables_compression.agreement(result, variants=kinds), "agreement")
prose(words_compression.exports_line(agreement, times))

# %% [markdown]
# What was not measured, and why:

# %%
tables_compression.not_measured(measured, kinds)

# %% [markdown]
# ## Published figures, shown again
#
# A quantised ResNet18 was reported to be no faster than before. That is a matter of the runtime,
# not of quantisation. A pruned network on hand-made features was reported to lose nothing at all.
# It was trained on segments of the very tracks that it was tested on, so it is shown both ways.

# %%
ways = report.table(
    tables_compression.both_ways(result, variants=kinds, n_boot=n_boot), "both_ways"
)
faster = tables_compression.same_runtime(times, before=reference, after=quantised)
tables_compression.beside_published(table, ways, faster, before=reference, variants=kinds)

# %%
prose(words_compression.both_ways_line(ways))

# %% [markdown]
# ## The bundle that is shipped

# %%
prose(words_compression.bundle_line(measured, times))

# %% [markdown]
# ## What was aimed at, and what came out

# %%
report.table(tables_compression.goals(table, ways, faster, measured), "goals")

# %% [markdown]
# ## Answer

# %%
devices = report.table(tables_compression.for_devices(table, times), "devices")
tables_compression.devices_to_read(devices)

# %%
prose(words_compression.answer(devices, table))
