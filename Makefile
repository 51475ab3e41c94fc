## One command makes the whole report; everything else is a part of it.
##
##   make all                      the study on the demo data set (synthetic)
##   make test                     every test
##
## Both set up what they need. Goals:
##   help       this text
##   setup      make .venv and install the locked versions (done by itself, too)
##   data       fetch gtzan or gtzan-mini where it is not there yet, or make the
##              demo set; say what there is
##   all        every notebook: tables to results/, figures to figures/, and the
##              pages to read them on: results/NAME/report/index.html
##   NN         one notebook and what it needs, e.g. make 03
##   smoke      all, on less and in a minute or two, to build/smoke/
##   report     the same again from stored predictions, without data
##   publish    copy a study's executed notebooks to notebooks/ (of gtzan, unless
##              DATASET says otherwise)
##   bench      time this project's code against the usual ways, in a few minutes:
##              results/bench.csv, figures/bench.png
##   bundle     train the network that is shipped (of gtzan) and pack it up:
##              genre_utils/data/bundle; of other data, results/NAME/bundle
##   demo       open the demo page: tell the genre of songs of your own
##   test       run every test
##   check      format, lint, docstrings, and all that is published: stale results,
##              dead links, missing alt texts, notebooks unlike their source
##   colab      put badge and first cell for Google Colab into the notebooks
##   lock       add what pyproject.toml asks for to requirements.lock;
##              UPGRADE=1 moves every version to the newest allowed
##   clean      remove what the demo study and the cache can make again
##   distclean  remove .venv as well
##
## Variables, with what they are when not given:
##   DATASET=demo     demo, gtzan, gtzan-mini, or the path of a folder with one
##                    sub-folder a genre
##   DATA_ROOT=data   the folder that holds gtzan/ and other data sets
##   PROFILE=full     full, or smoke
##   JOBS=            how many processes to use (all cores)
##   RETRAIN=         1 trains again what has stored predictions
##   PARAMS=          parameters of one notebook, -p NAME VALUE each; such a run
##                    writes to build/custom/
##   CACHE_ROOT=.cache  the folder of what can be computed again
##   REPO=            owner/name on GitHub, for make colab
##                    (that of the git remote); none takes it out
##   PYTHON=python3   the Python (3.11 to 3.13) that .venv is made from
##
## Examples:
##   make all DATASET=gtzan DATA_ROOT="/data/my music" JOBS=4
##   make all DATASET=~/Music/by_genre
##   make 03 PARAMS="-p seed 1"
##   make report DATASET=gtzan
##
## A second run does only what changed: contents decide, not file times.
## A run that was cut off goes on where it was.
##
## Notebooks:

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

DATASET ?= demo
PROFILE ?= full
PYTHON ?= python3
DATA_ROOT ?=
JOBS ?=
RETRAIN ?=
PARAMS ?=
CACHE_ROOT ?=
REPO ?=
UPGRADE ?=

notebooks := $(wildcard notebooks/[0-9][0-9]_*.py)
numbers := $(foreach notebook,$(notdir $(notebooks)),$(firstword $(subst _, ,$(notebook))))
goals := help setup data all smoke report publish bench bundle demo test check colab lock clean distclean
variables := DATASET DATA_ROOT PROFILE JOBS RETRAIN PARAMS CACHE_ROOT REPO PYTHON UPGRADE

# A misspelt word must not pass in silence: the study would run on something else.
unknown_goals := $(filter-out $(goals) $(numbers),$(MAKECMDGOALS))
ifneq ($(unknown_goals),)
$(error unknown goal: $(unknown_goals). Goals are: $(goals) $(numbers); make help explains them)
endif
given := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
unknown_variables := $(filter-out $(variables) SHELL MAKE%,$(given))
ifneq ($(unknown_variables),)
$(error unknown variable: $(unknown_variables). Variables are: $(variables); make help explains them)
endif

# Recipes read these from the environment, where spaces and quotes do no harm.
export DATASET PROFILE REPO
$(foreach name,DATA_ROOT JOBS RETRAIN CACHE_ROOT,$(if $($(name)),$(eval export $(name)),$(eval unexport $(name))))

venv_python := .venv/bin/python
set_up := "$(PYTHON)" tools/make_venv.py
any_python := $(if $(wildcard $(venv_python)),$(venv_python),"$(PYTHON)")

render_pages = $(venv_python) -m genre_utils.report_pages --dataset "$$DATASET" --profile "$$PROFILE"

# What is stale is asked before anything is installed. $(1): the notebook, or
# an option of the runner. $(2): what comes after it.
define run_study
@$(set_up) --check-python
@status=0; \
study=($(1) --dataset "$$DATASET" --profile "$$PROFILE" $(PARAMS)); \
$(any_python) -m genre_utils.pipeline check-fresh "$${study[@]}" || status=$$?; \
if [ $$status -ne 3 ]; then exit $$status; fi; \
$(set_up) && $(venv_python) -m genre_utils.pipeline run "$${study[@]}" $(2)
endef

.PHONY: $(goals) $(numbers)

help:
	@sed -n -e 's/^## \{0,1\}//p' Makefile
	@printf '  %s\n' $(basename $(notdir $(notebooks)))

setup:
	@$(set_up)

data: setup
	@$(venv_python) -m genre_utils fetch "$$DATASET"

all:
	$(call run_study,--pages,&& $(render_pages))

$(numbers):
	$(call run_study,$@)

smoke: override PROFILE := smoke
smoke:
	$(call run_study,)

report:
	$(call run_study,--from-predictions,&& $(render_pages))

publish: DATASET := gtzan
publish: setup
	@$(venv_python) -m genre_utils.pipeline publish --dataset "$$DATASET"

bench: setup
	@$(venv_python) -m genre_utils.bench --dataset "$$DATASET"

bundle: setup
	@$(venv_python) -m genre_utils.shipping --dataset "$$DATASET"

demo: setup
	@$(venv_python) -m genre_utils demo

test: setup
	@$(venv_python) -m pytest

check: setup
	@$(venv_python) -m ruff format --check .
	@$(venv_python) -m ruff check .
	@$(venv_python) -m numpydoc lint $(wildcard genre_utils/*.py genre_utils/*/*.py)
	@$(venv_python) -m genre_utils.pipeline check

colab: setup
	@$(venv_python) -m genre_utils.colab --repository "$$REPO"

# uv keeps the versions that its output file holds, and one version for all Pythons.
lock: setup
	@$(venv_python) -m pip install -qq --disable-pip-version-check uv
	@mkdir -p build && cp requirements.lock build/resolved.lock
	@$(venv_python) -m uv pip compile --quiet --universal --python-version 3.11 \
	    --fork-strategy fewest --all-extras --no-header $(if $(UPGRADE),--upgrade) \
	    --output-file build/resolved.lock pyproject.toml
	@{ sed '/^[^#]/,$$d' requirements.lock; cat build/resolved.lock; } > build/requirements.lock
	@mv build/requirements.lock requirements.lock && rm build/resolved.lock

clean:
	rm -rf build .cache .units/demo results/demo figures/demo

distclean: clean
	rm -rf .venv
