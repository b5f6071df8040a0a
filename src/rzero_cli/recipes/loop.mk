# R-Zero (arXiv 2508.05004): one base model becomes a Challenger that asks and a Solver that answers.
#
#   make demo                             a small model made here teaches itself, in minutes
#   make run MODEL=Qwen/Qwen3-4B-Base     the paper's setting, on a GPU machine
#   make -n run MODEL=...                 what would be done, command by command
#
# Every artefact is a file, so an interrupted make goes on where it stopped. Each stage is a command
# of its own: change a line, put your own stage between two, or take one into another pipeline.
#
# MODEL         the base model: a checkpoint directory or a hub name
# PRESET        settings: paper (the default), official, tiny; empty is what rzero.toml says, if anything
# HELDOUT       what the Solver is examined on: JSONL with true answers; without it TASKS of lm-eval's
# DEDUP         exact or near: drop questions that were kept before, in this iteration or an earlier one
# GUARD         stop early: probe (the score on PROBE, JSONL as HELDOUT but with other questions, falls),
#               diversity (of answers or questions falls), or probe,diversity
# TRUTH         set where questions are of tiny-base's world, whose true answers can be computed
# ORACLE_FLAGS  who knows the true answers elsewhere: '--oracle-endpoint URL --oracle-model NAME'
# LOG_FILE      one file for the figures of every stage while it works
# Further options of a stage: CHALLENGE_FLAGS, SAMPLE_FLAGS='-n 2000', and so on.
RZERO ?= rzero
RUNS ?= runs
RUN ?= r-zero
ITERATIONS ?= 3
SEED ?= 0
TASKS ?= rzero_math
ORACLE_FLAGS ?= $(if $(TRUTH),--world)
export RZERO_LOG_FILE := $(or $(LOG_FILE),$(RZERO_LOG_FILE))

# The loop is in $R, a baseline or an ablation in $R/NAME; both have iter-1, iter-2, ... In a rule, % and
# $* are iter-K or NAME/iter-K; what depends on K is found when the rule is used, hence $$ in its head.
R := $(RUNS)/$(RUN)
STEPS := $(shell seq 1 $(ITERATIONS))
K = $(patsubst iter-%,%,$(notdir $*))
CHAIN = $(filter-out ./,$(dir $*))
BEFORE = $R/$(CHAIN)iter-$(word $K,0 $(STEPS))
AFTER = $(if $(filter 1,$K),,$(BEFORE)/solver/rzero.json)
CHALLENGER = $(if $(AFTER),$(BEFORE)/challenger,$(MODEL))
SOLVER = $(if $(AFTER),$(BEFORE)/solver,$(MODEL))
ASKER = $R/$*/challenger
ASKING = $(ASKER)/rzero.json
ANSWERER = $(SOLVER)
LEARNED = train
.SECONDEXPANSION:

# Go on with what an interrupted make left; a target that is there is out of date.
PRESET_FLAG = $(if $(PRESET),--preset $(PRESET))
ON = $(PRESET_FLAG) --resume $(if $(wildcard $@),--force)
drawing = --seed $(shell expr $(SEED) \* 100 + $K) $1 $(ON)
EXAM = $(if $(HELDOUT),--data $(HELDOUT),--tasks $(TASKS)) $(EVAL_FLAGS)
KEPT = $(patsubst %,--dedup-against $R/$(CHAIN)iter-%/train.jsonl,$(filter-out $K,$(wordlist 1,$K,$(STEPS))))

# 1. The Challenger learns to ask what the Solver is unsure of ...
$R/%/challenger/rzero.json: $$(AFTER) | needs-model
	@mkdir -p $R/$*
	$(RZERO) challenge --challenger $(CHALLENGER) --solver $(SOLVER) $(call drawing,$(CHALLENGE_FLAGS)) -o $(@D)

# 2. ... and asks.
$R/%/questions.jsonl: $$(ASKING) | needs-model
	@mkdir -p $(@D)
	$(RZERO) sample --challenger $(ASKER) $(call drawing,$(SAMPLE_FLAGS)) -o $@

# 3. The Solver answers each question m times; the majority is the label.
$R/%/labeled.jsonl: $R/%/questions.jsonl
	$(RZERO) label $< --solver $(ANSWERER) $(call drawing,$(LABEL_FLAGS)) -o $@

# 4. Questions it is unsure of are kept ...
$R/%/train.jsonl: $R/%/labeled.jsonl
	$(RZERO) filter $< $(if $(DEDUP),--dedup $(DEDUP) $(KEPT)) $(FILTER_FLAGS) $(PRESET_FLAG) --force -o $@

# 5. ... and learned from. A base Challenger may ask nothing that is kept: then nothing is learned.
$R/%/solver/rzero.json: $R/%/$$(LEARNED).jsonl
	$(RZERO) train-solver $< --solver $(ANSWERER) --allow-empty $(call drawing,$(SOLVER_FLAGS)) -o $(@D)

# Examined on what it was not trained on; and, where that can be computed, were the labels true?
EXAMINED = $(if $(filter base,$(notdir $*)),$(MODEL),$R/$*/solver)
MADE = $(if $(filter base,$(notdir $*)),,$(EXAMINED)/rzero.json)
$R/%/eval.json: $$(MADE) | needs-model
	@mkdir -p $(@D)
	$(RZERO) eval --quiet --model $(EXAMINED) $(EXAM) $(ON) -o $@
$R/%/graded.jsonl: $R/%/train.jsonl
	$(RZERO) grade --truth $< --force -o $@
$R/%/known.jsonl: $R/%/train.jsonl | needs-oracle
	$(RZERO) oracle $< --known $(ORACLE_FLAGS) $(ON) -o $@

# The baseline, ablations and controls: what each changes.
$R/base-challenger/%: private ASKING = $(AFTER)
$R/base-challenger/%: private ASKER = $(MODEL) ## baseline: the Challenger is never trained
$R/no-penalty/%: private override CHALLENGE_FLAGS += --lambda-rep 0 ## ablation: without the repetition penalty
$R/no-filter/%: private override FILTER_FLAGS += --delta 0.5 ## ablation: train on every labelled question
$R/one-model/%: private CHALLENGER = $(SOLVER)
$R/one-model/%: private ANSWERER = $R/$*/challenger ## ablation: one model asks and answers
$R/official/%: private override PRESET := $(PRESET:%=%,)official ## the rules of the authors' code
$R/true-labels/%: private LEARNED = known
$R/true-labels/%: private override SOLVER_FLAGS += --answer-key reference ## ceiling: true answers (ORACLE_FLAGS)
$R/shuffled-labels/%: private override SOLVER_FLAGS += --shuffle-labels ## null control: each question gets another's label
$R/random-reward/%: private override SOLVER_FLAGS += --reward random ## null control: the reward is the toss of a coin
$R/format-reward/%: private override SOLVER_FLAGS += --reward format ## null control: any answer that can be read

# What is made of each. What was cut off is gone on with: make deletes none of it.
files = $(if $(filter base-%,$1),,challenger/rzero.json) questions.jsonl labeled.jsonl train.jsonl \
  solver/rzero.json eval.json $(if $(TRUTH),graded.jsonl)
results = $R/base/eval.json $(foreach k,$(STEPS),$(addprefix $R/$1iter-$k/,$(call files,$1)))
.PRECIOUS: $(addprefix $R/%/,$(files) known.jsonl probe.json) $R/difficulty/%.jsonl \
  $(RUNS)/tiny-base-%/rzero.json
CHAINS := base-challenger no-penalty no-filter one-model official true-labels shuffled-labels random-reward format-reward
.PHONY: run loop $(CHAINS) report difficulty demo help guarded passed needs-model needs-oracle needs-guard always
.DEFAULT_GOAL := help
run: loop ## the loop, ITERATIONS times, from MODEL
	$(REPORT)
	$(if $(GUARD),@$(JUDGE))
loop: $(if $(GUARD),guarded,$(results)) ## the same without a report
true-labels: needs-oracle
$(CHAINS): $$(call results,$$@/)
# iter-10 after iter-2: each file is held against those before it.
LABELED = $(shell ls $R/iter-*/labeled.jsonl 2> /dev/null | sort -V)
REPORT = $(RZERO) report $R --force $(addprefix -o $R/,summary.json summary.txt summary.png report.html)$(if \
  $(LABELED), && $(RZERO) stats $(LABELED) $(PRESET_FLAG) > $R/stats.txt && cat $R/stats.txt)
report: ## table and picture of RUN and figures of its questions, into its folder
	$(REPORT)

# With GUARD each model is put to the probe, each iteration is judged, and the next one is begun, by a
# make of its own, if it passed. `make -n` shows what is left to make, and the last guard.
JUDGE = $(RZERO) guard $R --guard $(GUARD) $(GUARD_FLAGS) $(PRESET_FLAG)
TRIPPED := '^  "tripped": true' $R/iter-
SHOWN := $(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
PROBED = $(if $(findstring probe,$(GUARD)),$(foreach k,base $(STEPS:%=iter-%),$R/$k/probe.json))
guarded: needs-guard $(if $(SHOWN),,$R/base/eval.json)
	@$(if $(SHOWN),grep -qs $(TRIPPED)*/guard.json ||) for k in $(if $(SHOWN),$(ITERATIONS),$(STEPS)); do \
	  $(MAKE) --no-print-directory passed ITERATIONS=$$k || exit $$?; \
	  ! grep -qs $(TRIPPED)$$k/guard.json || break; done
passed: $(results) $(PROBED)
	$(JUDGE) --iteration $(ITERATIONS) --quiet --force -o $R/iter-$(ITERATIONS)/guard.json
$R/%/probe.json: $$(MADE) $R/probed-with
	$(RZERO) eval --quiet --model $(EXAMINED) --data $(PROBE) $(PROBE_FLAGS) $(ON) -o $@
# Written where it says something else than before: then the probe is answered again.
$R/probed-with: always | needs-guard
	@mkdir -p $R/base; echo "$(PROBE) $(PROBE_FLAGS)" | cmp -s - $@ || echo "$(PROBE) $(PROBE_FLAGS)" > $@

# How hard the questions of an iteration are for every Solver, and how many of their labels are true:
# 200 of them, as in the paper, without those whose true answer the oracle does not know.
EXAMS = $(foreach k,$(STEPS),$(addprefix $R/difficulty/iter-$k/,base.json $(STEPS:%=iter-%.json)))
difficulty: needs-oracle $(EXAMS) ## every Solver of RUN on every iteration's questions, and how many labels are true
	$(RZERO) report $R --difficulty --force -o $R/difficulty.json -o $R/difficulty.txt
ASKED = $R/difficulty/$(patsubst %/,%,$(dir $*)).jsonl
$R/difficulty/%.json: private EXAMINED = $(if $(filter base,$(notdir $*)),$(MODEL),$R/$(notdir $*)/solver)
$R/difficulty/%.json: $$(ASKED) $$(MADE)
	@mkdir -p $(@D)
	$(RZERO) eval --quiet --model $(EXAMINED) --data $< $(DIFFICULTY_FLAGS) --k 0 $(ON) -o $@
$R/difficulty/%.jsonl: $R/%/labeled.jsonl | needs-oracle
	@mkdir -p $(@D)
	$(RZERO) oracle $< --known --limit 200 $(ORACLE_FLAGS) $(ON) -o $@

# A run is of one model, preset and seed: under the same name another one would be mixed with it. A
# report tells how many iterations are missing of the most that were ever asked for.
MADE_WITH = model $(MODEL), preset $(or $(PRESET),default), seed $(SEED)
needs-model:
	@$(if $(MODEL),mkdir -p $R,$(error MODEL is not set: make run MODEL=Qwen/Qwen3-4B-Base, or make demo))
	@test -e $R/made-with || echo "$(MADE_WITH)" > $R/made-with
	@grep -qxF "$(MADE_WITH)" $R/made-with || { echo "$R is a run with $$(cat $R/made-with): choose another RUN" >&2; exit 2; }
	@test $(ITERATIONS) -le "$$(cat $R/iterations 2> /dev/null || echo 0)" || echo $(ITERATIONS) > $R/iterations
needs-oracle:
	@$(if $(ORACLE_FLAGS),,$(error ORACLE_FLAGS is not set, and true answers are asked for: ORACLE_FLAGS='--oracle-endpoint URL --oracle-model NAME'))
needs-guard: needs-model
	@case "$(GUARD)" in probe|diversity|probe,diversity|diversity,probe) ;; \
	  *) echo "GUARD=$(GUARD): must be probe, diversity or probe,diversity" >&2; exit 2;; esac
	@case "$(GUARD)" in *probe*) test -f "$(PROBE)" && test "$(PROBE)" != "$(HELDOUT)" || { \
	  echo "PROBE=$(PROBE): must be a file of true answers, to other questions than HELDOUT" >&2; exit 2; };; esac

# The base model of the demo is made here. SIZE=small is for a quick look.
SIZE ?= demo
BASE = $(RUNS)/tiny-base-$(SIZE)-$(SEED)
DEMO := $(if $(filter r-zero,$(RUN)),demo$(addprefix -,$(filter-out demo,$(SIZE)))$(addprefix -,$(filter-out 0,$(SEED))),$(RUN))
$(RUNS)/tiny-base-%/rzero.json:
	@mkdir -p $(RUNS)
	$(RZERO) tiny-base --size $(SIZE) --seed $(SEED) $(BASE_FLAGS) $(if $(wildcard $(@D)),--force) -o $(@D)
TINY = RUN=$(DEMO) PRESET=tiny TRUTH=1 MODEL=$(BASE) HELDOUT=$(BASE)/heldout.jsonl PROBE=$(BASE)/probe.jsonl
demo: export OMP_NUM_THREADS ?= 1
demo: $$(BASE)/rzero.json ## the loop on a small model made here, beside the base-Challenger baseline, one core each
	$(MAKE) -j2 loop base-challenger $(TINY)
	$(MAKE) run $(TINY)

help: ## this list; what can be set is at the head of the Makefile
	@awk -F ' *## ' '/^[$$a-z].* ## / {sub(/^[$$]R./, ""); sub("[:/].*", "", $$1); printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
