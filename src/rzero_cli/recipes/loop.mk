# R-Zero (arXiv 2508.05004): one base model becomes a Challenger that asks and a Solver that answers.
#
#   make demo                             a small model made here teaches itself, in minutes
#   make run MODEL=Qwen/Qwen3-4B-Base     the paper's setting, on a GPU machine
#   make -n run MODEL=...                 what would be done, command by command
#
# Every artefact is a file, so an interrupted make goes on where it stopped. Each stage is a command
# of its own: change a line, put your own stage between two, or take one into another pipeline.

RZERO ?= rzero
RUNS ?= runs
RUN ?= r-zero
# The base model: a checkpoint directory or a hub name.
MODEL ?=
# Settings: paper (the default), official, tiny. Empty is what rzero.toml says, if anything.
PRESET ?=
ITERATIONS ?= 3
SEED ?= 0
# What the Solver is examined on: a JSONL file with true answers, or tasks: the paper's benchmarks
# (EVAL_FLAGS='--data-file rzero_gsm8k=FILE ...' where there is no network) or any of lm-eval's.
HELDOUT ?=
TASKS ?= rzero_math
# Further options of a stage, e.g. SAMPLE_FLAGS='-n 2000'.
CHALLENGE_FLAGS ?=
SAMPLE_FLAGS ?=
LABEL_FLAGS ?=
FILTER_FLAGS ?=
SOLVER_FLAGS ?=
EVAL_FLAGS ?=
DIFFICULTY_FLAGS ?=
# Whether to stop early: probe (the score on PROBE, a JSONL file as HELDOUT but with other questions,
# falls), diversity (of answers or questions falls), or probe,diversity. See `rzero guard --help`.
GUARD ?=
PROBE ?=
PROBE_FLAGS ?=
GUARD_FLAGS ?=
# exact or near: drop questions that were kept before, in this iteration or an earlier one.
DEDUP ?=
# Set where the questions are of tiny-base's world, whose true answers can be computed.
TRUTH ?=
# Who knows the true answers for `make difficulty`: options of `rzero oracle`, such as
# '--oracle-endpoint URL --oracle-model NAME' or '--oracle-data FILE'.
ORACLE_FLAGS ?= $(if $(TRUTH),--world)

# One file for the figures of every stage while it works (--log-file), such as LOG_FILE=log.jsonl.
LOG_FILE ?=
ifneq ($(LOG_FILE),)
export RZERO_LOG_FILE := $(LOG_FILE)
endif

R := $(RUNS)/$(RUN)
# The loop, the paper's baseline and ablations, controls: chains of iterations, of which each has a
# target of its own; `make chains CHAINS='trained no-filter'` makes several.
CHAINS ?= trained base-challenger
STEPS := $(shell seq 1 $(ITERATIONS))
EXAM = $(if $(HELDOUT),--data $(HELDOUT),--tasks $(TASKS))
PRESET_FLAG = $(if $(PRESET),--preset $(PRESET))
# Go on with what an interrupted make left; a target that is there is out of date.
ON = $(PRESET_FLAG) --resume $(if $(wildcard $@),--force)
# Each iteration draws with a seed of its own.
SEEDS := $(shell for k in $(STEPS); do expr $(SEED) \* 100 + $$k; done)
seed = --seed $(word $1,$(SEEDS))
# Outputs appear whole or not at all. Left to itself, make deletes what an interrupted recipe has just
# made, and a directory without its rzero.json would be taken for neither finished nor unfinished.
keep = .PRECIOUS:

# A chain's folder; and where its iteration K has its Challenger, questions and labels: those of the
# first iteration are the loop's own where a chain differs from it only in what comes after.
folder = $(R)$(addprefix /,$(filter-out trained,$1))
AS_THE_LOOP := $(addprefix $(R)/,no-filter true-labels shuffled-labels random-reward format-reward)
asked_in = $(if $(filter $(AS_THE_LOOP:%=%-1),$1-$2),$(R),$1)/iter-$2
# The models that iteration K of a chain of iterations (a folder) leaves behind; 0 is the base.
solver = $(if $(filter 0,$2),$(MODEL),$1/iter-$2/solver)
challenger = $(if $(filter 0,$2),$(MODEL),$(if $(filter $(R)/one-model,$1),$1/iter-$2/solver,$(asked_in)/challenger))
after = $(if $(filter 0,$2),,$1/iter-$2/solver/rzero.json)
# With GUARD, what has to be there before the iteration after K of RUN begins.
guarded = $(if $(GUARD),$(if $(filter $(R)-0,$1-$2),,$(if $(filter $(R),$1), $1/iter-$2/guard.json)))
# With DEDUP, the options of filter after K iterations.
dedup = $(if $(DEDUP), --dedup $(DEDUP)$(foreach k,$(wordlist 1,$2,$(STEPS)), --dedup-against $1/iter-$k/train.jsonl))

# 1. The Challenger learns to ask what the Solver is unsure of ...     $1 folder, $2 = K, $3 = K - 1
define challenge_and_sample
$(keep) $1/iter-$2/challenger/rzero.json $1/iter-$2/questions.jsonl
$1/iter-$2/challenger/rzero.json: $(call after,$1,$3) | needs-model$(call guarded,$1,$3)
	@mkdir -p $1/iter-$2
	$$(RZERO) challenge --challenger $(call challenger,$1,$3) --solver $(call solver,$1,$3) $(call seed,$2) $$(CHALLENGE_FLAGS) $$(ON) -o $$(@D)

# 2. ... and asks.
$1/iter-$2/questions.jsonl: $1/iter-$2/challenger/rzero.json
	$$(RZERO) sample --challenger $1/iter-$2/challenger $(call seed,$2) $$(SAMPLE_FLAGS) $$(ON) -o $$@
endef

# The baseline: the base model asks, in every iteration.
define sample_from_base
$(keep) $1/iter-$2/questions.jsonl
$1/iter-$2/questions.jsonl: $(call after,$1,$3) | needs-model
	@mkdir -p $1/iter-$2
	$$(RZERO) sample --challenger $(MODEL) $(call seed,$2) $$(SAMPLE_FLAGS) $$(ON) -o $$@
endef

# The Solver that answers, and is then trained: where one model has both roles, the Challenger.
answering = $(if $(filter $(R)/one-model,$1),$1/iter-$2/challenger,$(call solver,$1,$3))
# What it is trained on: with true labels, the truth of what was kept.
learned_from = $1/iter-$2/$(if $(filter $(R)/true-labels,$1),known,train).jsonl

define label
$(keep) $1/iter-$2/labeled.jsonl
# 3. The Solver answers each question m times; the majority is the label.
$1/iter-$2/labeled.jsonl: $1/iter-$2/questions.jsonl
	$$(RZERO) label $$< --solver $(call answering,$1,$2,$3) $(call seed,$2) $$(LABEL_FLAGS) $$(ON) -o $$@
endef

define filter_and_train
$(keep) $1/iter-$2/train.jsonl $1/iter-$2/known.jsonl $1/iter-$2/solver/rzero.json $1/iter-$2/eval.json
# 4. Questions it is unsure of are kept ...
$1/iter-$2/train.jsonl: $(asked_in)/labeled.jsonl
	@mkdir -p $$(@D)
	$$(RZERO) filter $$<$(call dedup,$1,$3) $$(FILTER_FLAGS) $$(PRESET_FLAG) --force -o $$@

# 5. ... and learned from. A base Challenger may ask nothing that is kept: then nothing is learned.
$1/iter-$2/solver/rzero.json: $(learned_from)
	$$(RZERO) train-solver $$< --solver $(call answering,$1,$2,$3) $(call seed,$2) --allow-empty $$(SOLVER_FLAGS) $$(ON) -o $$(@D)

# Examined on what it was not trained on; and, where that can be computed, were the labels true?
$1/iter-$2/eval.json: $1/iter-$2/solver/rzero.json
	$$(RZERO) eval --quiet --model $1/iter-$2/solver $$(EXAM) $$(EVAL_FLAGS) $$(ON) -o $$@

$1/iter-$2/graded.jsonl: $1/iter-$2/train.jsonl
	$$(RZERO) grade --truth $$< --force -o $$@

$1/iter-$2/known.jsonl: $1/iter-$2/train.jsonl | needs-oracle
	$$(RZERO) oracle $$< --known $$(ORACLE_FLAGS) $$(ON) -o $$@
endef

before = $(words $(wordlist 2,$1,$(STEPS)))
# $(call chain,FOLDER,how questions come about)
define chain
$(foreach k,$(STEPS),$(if $(filter $1/iter-$k,$(call asked_in,$1,$k)),$(eval $(call $2,$1,$k,$(call before,$k)))))
$(foreach k,$(STEPS),$(if $(filter $1/iter-$k,$(call asked_in,$1,$k)),$(eval $(call label,$1,$k,$(call before,$k)))))
$(foreach k,$(STEPS),$(eval $(call filter_and_train,$1,$k,$(call before,$k))))
endef
results = $(R)/base/eval.json $(foreach k,$(STEPS),$1/iter-$k/eval.json $(if $(TRUTH),$1/iter-$k/graded.jsonl))

CHALLENGED := trained no-penalty no-filter one-model official true-labels shuffled-labels random-reward format-reward
$(foreach c,$(CHALLENGED),$(call chain,$(call folder,$c),challenge_and_sample))
$(call chain,$(R)/base-challenger,sample_from_base)

comma := ,
$(R)/no-penalty/%: private override CHALLENGE_FLAGS += --lambda-rep 0
$(R)/no-filter/%: private override FILTER_FLAGS += --delta 0.5
$(R)/official/%: private override PRESET := $(if $(PRESET),$(PRESET)$(comma))official
$(R)/true-labels/%: private override SOLVER_FLAGS += --answer-key reference
$(R)/shuffled-labels/%: private override SOLVER_FLAGS += --shuffle-labels
$(R)/random-reward/%: private override SOLVER_FLAGS += --reward random
$(R)/format-reward/%: private override SOLVER_FLAGS += --reward format

$(R)/base/eval.json: | needs-model
	@mkdir -p $(@D)
	$(RZERO) eval --quiet --model $(MODEL) $(EXAM) $(EVAL_FLAGS) $(ON) -o $@

# With GUARD, each model is put to the probe, and each iteration ends with a look at what became of
# questions and scores. What is in guard.json decides on going on and is no part of what comes after.
$(keep) $(R)/base/probe.json $(foreach k,$(STEPS),$(R)/iter-$k/probe.json $(R)/iter-$k/guard.json)
$(R)/base/probe.json: $(R)/probed-with | needs-guard
	@mkdir -p $(@D)
	$(RZERO) eval --quiet --model $(MODEL) --data $(PROBE) $(PROBE_FLAGS) $(ON) -o $@
$(R)/iter-%/probe.json: $(R)/iter-%/solver/rzero.json $(R)/probed-with | needs-guard
	$(RZERO) eval --quiet --model $(<D) --data $(PROBE) $(PROBE_FLAGS) $(ON) -o $@

looked_at = $(if $(findstring probe,$(GUARD)),$(R)/base/probe.json $(R)/iter-$1/probe.json) \
  $(if $(findstring diversity,$(GUARD)),$(R)/iter-$1/labeled.jsonl)
judge = $(RZERO) guard $(R) --guard $(GUARD) $(GUARD_FLAGS) $(PRESET_FLAG)
define judge_iteration
$(R)/iter-$1/guard.json: $(call looked_at,$1) $(R)/guarded-with
	$$(judge) --iteration $1 --quiet --force -o $$@
endef
$(if $(GUARD),$(foreach k,$(STEPS),$(eval $(call judge_iteration,$k))))
# Written where it says something else than before: then it is looked at, or answered, again.
stamp = @echo "$1" | cmp -s - $@ || echo "$1" > $@
$(R)/guarded-with: always | needs-guard
	$(call stamp,$(GUARD) $(GUARD_FLAGS) $(PRESET_FLAG))
$(R)/probed-with: always | needs-guard
	$(call stamp,$(PROBE) $(PROBE_FLAGS))
always:

# How hard the questions of iteration K are for every Solver, and how many of their labels are true:
# 200 of them, as in the paper, without those whose true answer the oracle does not know.   $1 = K
define ask_the_oracle
$(R)/difficulty/iter-$1.jsonl: $(R)/iter-$1/labeled.jsonl | needs-oracle
	@mkdir -p $$(@D)/iter-$1
	$$(RZERO) oracle $$< --known --limit 200 $$(ORACLE_FLAGS) $$(ON) -o $$@
endef
# $1 = K, $2 = J of the Solver, $3 its name
define examine_on
$(R)/difficulty/iter-$1/$3.json: $(R)/difficulty/iter-$1.jsonl $(call after,$(R),$2)
	$$(RZERO) eval --quiet --model $(call solver,$(R),$2) --data $$< $$(DIFFICULTY_FLAGS) --k 0 $$(ON) -o $$@
endef
named = $(if $(filter 0,$1),base,iter-$1)
$(foreach k,$(STEPS),$(eval $(call ask_the_oracle,$k)))
$(foreach k,$(STEPS),$(foreach j,0 $(STEPS),$(eval $(call examine_on,$k,$j,$(call named,$j)))))

.PHONY: run base-challenger no-penalty no-filter one-model official true-labels shuffled-labels random-reward
.PHONY: format-reward chains report compare lineage difficulty demo
.PHONY: needs-model needs-oracle needs-guard guarded-run guarded-so-far verdict always help
.DEFAULT_GOAL := help

run: $(if $(GUARD),guarded-run,$(call results,$(R))) ## the loop, ITERATIONS times, from MODEL
	$(MAKE) $(if $(GUARD),verdict,report)
base-challenger: $(call results,$(R)/base-challenger) ## baseline: the Challenger is never trained
no-penalty: $(call results,$(R)/no-penalty) ## ablation: without the repetition penalty
no-filter: $(call results,$(R)/no-filter) ## ablation: train on every labelled question
one-model: $(call results,$(R)/one-model) ## ablation: one model asks and answers
official: $(call results,$(R)/official) ## the rules of the authors' code where it differs from the paper
true-labels: needs-oracle $(call results,$(R)/true-labels) ## ceiling: true answers (ORACLE_FLAGS) in place of the votes
shuffled-labels: $(call results,$(R)/shuffled-labels) ## null control: each question gets another's label
random-reward: $(call results,$(R)/random-reward) ## null control: the Solver's reward is the toss of a coin
format-reward: $(call results,$(R)/format-reward) ## null control: any answer that can be read is rewarded
# The loop with a guard is made by makes of its own: what begins with its first labels comes after it.
LATER := $(if $(and $(GUARD),$(filter trained,$(CHAINS))),$(filter $(AS_THE_LOOP:$(R)/%=%),$(CHAINS)))
chains: $(if $(filter true-labels,$(CHAINS)),needs-oracle) $(foreach c,$(filter-out $(LATER),$(CHAINS)),$(if $(and $(GUARD),$(filter trained,$c)),guarded-run,$(call results,$(call folder,$c)))) ## the results of CHAINS, without a report
	$(if $(LATER),$(MAKE) chains CHAINS='$(LATER)')

# An iteration is begun by a make of its own when the one before has passed; `make -n` shows them all.
TRIPPED := ^  "tripped": true
stopped = $(if $(GUARD),$(firstword $(foreach k,$(STEPS),$(if $(shell grep -s '$(TRIPPED)' $(R)/iter-$k/guard.json),$k))))
LAST = $(or $(stopped),$(ITERATIONS))
only_shown = $(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
guarded-run: needs-guard $(if $(only_shown),,$(R)/base/eval.json)
	@for k in $(if $(only_shown),$(LAST),$(STEPS)); do \
	  $(MAKE) --no-print-directory guarded-so-far ITERATIONS=$$k || exit $$?; \
	  ! grep -qs '$(TRIPPED)' $(R)/iter-$$k/guard.json || break; \
	done
guarded-so-far: $(if $(GUARD),$(R)/summary.json)
$(R)/summary.json: $(call results,$(R)) $(foreach k,$(STEPS),$(R)/iter-$k/guard.json)
	$(MAKE) report
verdict:
	@$(judge)

# iter-10 after iter-2: each file is held against those before it.
report: private LABELED = $(shell printf '%s\n' $(wildcard $(R)/iter-*/labeled.jsonl) | sort -V)
report: ## table and picture of RUN and figures of its questions, into its folder
	$(RZERO) report $(R) --force -o $(R)/summary.json -o $(R)/summary.txt -o $(R)/summary.png -o $(R)/report.html
	$(if $(LABELED),$(RZERO) stats $(LABELED) $(PRESET_FLAG) > $(R)/stats.txt && cat $(R)/stats.txt)

compare: ## the last iteration of RUN against its base, question by question, into its folder
	$(RZERO) compare $(R)/base/eval.json $(R)/iter-$(LAST)/eval.json > $(R)/compare.txt && cat $(R)/compare.txt

lineage: ## where the last Solver of RUN came from, and what has changed since
	$(RZERO) lineage $(R)/iter-$(LAST)/solver

difficulty: needs-oracle $(foreach k,$(STEPS),$(foreach j,0 $(STEPS),$(R)/difficulty/iter-$k/$(call named,$j).json)) ## every Solver of RUN on every iteration's questions, and how many labels are true
	$(RZERO) report $(R) --difficulty --force -o $(R)/difficulty.json -o $(R)/difficulty.txt
needs-oracle:
	@test -n "$(ORACLE_FLAGS)" || { echo "ORACLE_FLAGS is not set, and true answers are asked for: ORACLE_FLAGS='--oracle-endpoint URL --oracle-model NAME'" >&2; exit 2; }

needs-guard: needs-model
	@test -n "$(GUARD)" || { echo "GUARD is not set: make run GUARD=probe PROBE=FILE, or GUARD=diversity" >&2; exit 2; }
	@case "$(GUARD)" in probe|diversity|probe,diversity|diversity,probe) ;; \
	  *) echo "GUARD=$(GUARD): must be probe, diversity or probe,diversity" >&2; exit 2;; esac
	@case "$(GUARD)" in *probe*) \
	  test -f "$(PROBE)" || { echo "PROBE=$(PROBE): no such file: give JSONL with true answers, other questions than HELDOUT" >&2; exit 2; }; \
	  test "$(PROBE)" != "$(HELDOUT)" || { echo "PROBE is HELDOUT: stop by other questions than those you report" >&2; exit 2; };; esac

# A run is of one model, preset and seed; under the same name another one would be mixed with it.
MADE_WITH = model $(MODEL), preset $(or $(PRESET),default), seed $(SEED)
needs-model:
	@test -n "$(MODEL)" || { echo "MODEL is not set: make run MODEL=Qwen/Qwen3-4B-Base, or make demo" >&2; exit 2; }
	@mkdir -p $(R); test -e $(R)/made-with || echo "$(MADE_WITH)" > $(R)/made-with
	@grep -qxF "$(MADE_WITH)" $(R)/made-with || { echo "$(R) is a run with $$(cat $(R)/made-with): choose another RUN" >&2; exit 2; }
# The most that was ever asked for: a report tells how many are missing.
	@test $(ITERATIONS) -le "$$(cat $(R)/iterations 2> /dev/null || echo 0)" || echo $(ITERATIONS) > $(R)/iterations

# A base model made on this machine. SIZE=small is for a quick look.
SIZE ?= demo
base = $(RUNS)/tiny-base-$(SIZE)-$1
tiny = PRESET=tiny TRUTH=1 SEED=$1 MODEL=$(base) HELDOUT=$(base)/heldout.jsonl$(if $(GUARD), PROBE=$(base)/probe.jsonl)
DEMO := $(if $(filter r-zero,$(RUN)),demo$(addprefix -,$(filter-out demo,$(SIZE)))$(addprefix -,$(filter-out 0,$(SEED))),$(RUN))

$(keep) $(RUNS)/tiny-base-%/rzero.json
$(RUNS)/tiny-base-%/rzero.json:
	@mkdir -p $(RUNS)
	$(RZERO) tiny-base --size $(SIZE) --seed $(SEED) $(BASE_FLAGS) $(if $(wildcard $(@D)),--force) -o $(@D)

# Two chains of iterations side by side, one core each.
demo: export OMP_NUM_THREADS ?= 1
demo: ## the whole loop on a small model made here, beside the base-Challenger baseline
	$(MAKE) $(call base,$(SEED))/rzero.json
	$(MAKE) -j2 chains RUN=$(DEMO) $(call tiny,$(SEED))
	$(MAKE) report RUN=$(DEMO)
	$(if $(GUARD),$(MAKE) verdict RUN=$(DEMO) $(call tiny,$(SEED)))

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: MODEL PRESET RUN ITERATIONS CHAINS SEED HELDOUT TASKS DEDUP GUARD PROBE SIZE LOG_FILE, and {CHALLENGE,SAMPLE,LABEL,FILTER,SOLVER,EVAL,ORACLE,DIFFICULTY,PROBE,GUARD}_FLAGS"
