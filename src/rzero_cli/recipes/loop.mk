# R-Zero (arXiv 2508.05004): a Challenger generates questions and a Solver learns from answering them.
#
#   make demo                             a small model trained here improves itself, in minutes
#   make run MODEL=Qwen/Qwen3-4B-Base     the paper's setting, on a GPU machine
#   make -n run MODEL=...                 the commands, without running them
#
# Each stage is a command that writes a file: make resumes interrupted runs, and stages can be replaced.
#
# MODEL         base model: checkpoint directory or hub name
# PRESET        settings: paper, official, tiny, a model's (qwen3-4b), or several; default: rzero.toml, else paper
# HELDOUT       held-out set for evaluation, JSONL with true answers; default: the benchmarks in TASKS
# DEDUP         drop duplicates of questions kept in this or earlier iterations: exact or near
# GUARD         early stopping by probe (score on PROBE), diversity (questions, answers) or probe,diversity
# PROBE         held-out set for the probe, JSONL like HELDOUT with other questions
# TRUTH         set to 1 for tiny-base's questions, whose true answers can be computed
# ORACLE_FLAGS  source of true answers otherwise: '--oracle-endpoint URL --oracle-model NAME'
# LOG_FILE      one file for the metrics of all stages, written as they run
# TRAIN         the command of the trainings: 'srun rzero' on several nodes (slurm/run.sbatch)
# Further options of a stage: CHALLENGE_FLAGS, SAMPLE_FLAGS='-n 2000', and so on.
RZERO ?= rzero
TRAIN ?= $(RZERO)
RUNS ?= runs
RUN ?= r-zero
ITERATIONS ?= 3
SEED ?= 0
TASKS ?= rzero_math
ORACLE_FLAGS ?= $(if $(TRUTH),--world)
export RZERO_LOG_FILE := $(or $(LOG_FILE),$(RZERO_LOG_FILE))

# The loop is in $R, a chain (baseline, ablation, control) in $R/CHAIN. In rules, % and $* are
# [CHAIN/]iter-K, and prerequisites with $$ depend on K.
R := $(RUNS)/$(RUN)
STEPS := $(shell seq 1 $(ITERATIONS) 2> /dev/null)
K = $(patsubst iter-%,%,$(notdir $*))
CHAIN = $(filter-out ./,$(dir $*))
BEFORE = $R/$(CHAIN)iter-$(word $K,0 $(STEPS))
AFTER = $(if $(filter 1,$K),,$(BEFORE)/solver/rzero.json)
CHALLENGER = $(if $(AFTER),$(BEFORE)/challenger,$(MODEL))
SOLVER = $(if $(AFTER),$(BEFORE)/solver,$(MODEL))
GENERATOR = $R/$*/challenger
GENERATOR_READY = $(GENERATOR)/rzero.json
ANSWERER = $(SOLVER)
TRAINING_SET = train
.SECONDEXPANSION:

# Resume interrupted work; overwrite a target that exists, since make runs only outdated ones.
PRESET_FLAG = $(if $(PRESET),--preset $(PRESET))
RESUME_FLAGS = $(PRESET_FLAG) --resume $(if $(wildcard $@),--force)
seeded = --seed $(shell expr $(SEED) \* 100 + $K) $1 $(RESUME_FLAGS)

KEPT = $(patsubst %,--dedup-against $R/$(CHAIN)iter-%/train.jsonl,$(filter-out $K,$(wordlist 1,$K,$(STEPS))))

# On a machine with GPUs: the layout of the trainings, refused here if they do not fit.
LAYOUT ?= $(if $(wildcard /dev/nvidia0),$R/layout.txt)
$R/layout.txt: | needs-model
	$(RZERO) challenge --challenger $(MODEL) --solver $(MODEL) $(CHALLENGE_FLAGS) $(PRESET_FLAG) --dry-run -o $R > $@.part
	$(RZERO) train-solver --solver $(MODEL) $(SOLVER_FLAGS) $(PRESET_FLAG) --dry-run -o $R >> $@.part
	@mv $@.part $@

# 1. Train the Challenger to generate questions the Solver is uncertain about.
$R/%/challenger/rzero.json: $$(AFTER) | needs-model $(LAYOUT)
	@mkdir -p $R/$*
	$(TRAIN) challenge --challenger $(CHALLENGER) --solver $(SOLVER) $(call seeded,$(CHALLENGE_FLAGS)) -o $(@D)

# 2. Sample questions from it.
$R/%/questions.jsonl: $$(GENERATOR_READY) | needs-model
	@mkdir -p $(@D)
	$(RZERO) sample --challenger $(GENERATOR) $(call seeded,$(SAMPLE_FLAGS)) -o $@

# 3. Sample m Solver answers per question; the majority is the label.
$R/%/labeled.jsonl: $R/%/questions.jsonl
	$(RZERO) label $< --solver $(ANSWERER) $(call seeded,$(LABEL_FLAGS)) -o $@

# 4. Keep the questions the Solver is uncertain about.
$R/%/train.jsonl: $R/%/labeled.jsonl
	$(RZERO) filter $< $(if $(DEDUP),--dedup $(DEDUP) $(KEPT)) $(FILTER_FLAGS) $(PRESET_FLAG) --force -o $@

# 5. Train the Solver on them. A base Challenger may yield none: then the Solver is saved unchanged.
$R/%/solver/rzero.json: $R/%/$$(TRAINING_SET).jsonl
	$(TRAIN) train-solver $< --solver $(ANSWERER) --allow-empty $(call seeded,$(SOLVER_FLAGS)) -o $(@D)

# Evaluate the Solver on the held-out set, and check its labels against true answers.
EVALUATED = $(if $(filter base,$(notdir $*)),$(MODEL),$R/$*/solver)
EVALUATED_READY = $(if $(filter base,$(notdir $*)),,$(EVALUATED)/rzero.json)
$R/%/eval.json: $$(EVALUATED_READY) | needs-model $(LAYOUT)
	@mkdir -p $(@D)
	$(RZERO) eval --quiet --model $(EVALUATED) $(if $(HELDOUT),--data $(HELDOUT),--tasks $(TASKS)) $(EVAL_FLAGS) $(RESUME_FLAGS) -o $@
$R/%/graded.jsonl: $R/%/train.jsonl
	$(RZERO) grade --truth $< --force -o $@
$R/%/known.jsonl: $R/%/train.jsonl | needs-oracle
	$(RZERO) oracle $< --known $(ORACLE_FLAGS) $(RESUME_FLAGS) -o $@

# The settings that the baseline, ablations and controls change.
$R/base-challenger/%: private GENERATOR_READY = $(AFTER)
$R/base-challenger/%: private GENERATOR = $(MODEL) ## baseline: untrained Challenger
$R/no-penalty/%: private override CHALLENGE_FLAGS += --lambda-rep 0 ## ablation: no repetition penalty
$R/no-filter/%: private override FILTER_FLAGS += --delta 0.5 ## ablation: train on all labelled questions
$R/one-model/%: private CHALLENGER = $(SOLVER)
$R/one-model/%: private ANSWERER = $R/$*/challenger ## ablation: one model is Challenger and Solver
$R/official/%: private override PRESET := $(PRESET:%=%,)official ## the rules of the authors' code
$R/true-labels/%: private TRAINING_SET = known
$R/true-labels/%: private override SOLVER_FLAGS += --answer-key reference ## ceiling: true answers as labels (ORACLE_FLAGS)
$R/shuffled-labels/%: private override SOLVER_FLAGS += --shuffle-labels ## null control: labels shuffled between questions
$R/random-reward/%: private override SOLVER_FLAGS += --reward random ## null control: a coin toss as the reward
$R/format-reward/%: private override SOLVER_FLAGS += --reward format ## null control: reward for any readable answer

# The files of each. Stages resume partial files, so make must not delete them (.PRECIOUS).
files = $(if $(filter base-%,$1),,challenger/rzero.json) questions.jsonl labeled.jsonl train.jsonl \
  solver/rzero.json eval.json $(if $(TRUTH),graded.jsonl)
results = $R/base/eval.json $(foreach k,$(STEPS),$(addprefix $R/$1iter-$k/,$(call files,$1)))
.PRECIOUS: $(addprefix $R/%/,$(files) known.jsonl probe.json) $R/difficulty/%.jsonl \
  $(RUNS)/tiny-base-%/rzero.json
CHAINS := base-challenger no-penalty no-filter one-model official true-labels shuffled-labels random-reward format-reward
.PHONY: run loop $(CHAINS) report difficulty preflight demo help guarded passed needs-model needs-oracle needs-guard always
.DEFAULT_GOAL := help
run: loop ## ITERATIONS iterations of the loop from MODEL, and a report
	$(REPORT)
	$(if $(GUARD),@$(JUDGE))
loop: $(if $(GUARD),guarded,$(results)) ## the same without the report
true-labels: needs-oracle
$(CHAINS): $$(call results,$$@/)
# In numerical order (iter-10 after iter-2): `stats` compares each file with earlier ones.
LABELED = $(shell ls $R/iter-*/labeled.jsonl 2> /dev/null | sort -V)
REPORT = $(RZERO) report $R --force $(addprefix -o $R/,summary.json summary.txt summary.png report.html)$(if \
  $(LABELED), && $(RZERO) stats $(LABELED) $(PRESET_FLAG) > $R/stats.txt && cat $R/stats.txt)
report: ## tables and pictures of RUN and statistics of its questions, into its folder
	$(REPORT)

preflight: ## whether a run of MODEL fits this machine, its time and cost (PREFLIGHT_FLAGS='--price 12')
	$(RZERO) preflight $(MODEL:%=--challenger %) $(MODEL:%=--solver %) --iterations $(ITERATIONS) \
	  $(if $(HELDOUT),--data $(HELDOUT)) $(PRESET_FLAG) $(PREFLIGHT_FLAGS)

# With GUARD, a separate make runs and judges each iteration until a guard trips. -n shows what is left.
JUDGE = $(RZERO) guard $R --guard $(GUARD) $(GUARD_FLAGS) $(PRESET_FLAG)
TRIPPED := '^  "tripped": true' $R/iter-
SHOWN := $(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS))))

guarded: needs-guard $(if $(SHOWN),,$R/base/eval.json)
	@$(if $(SHOWN),grep -qs $(TRIPPED)*/guard.json ||) for k in $(if $(SHOWN),$(ITERATIONS),$(STEPS)); do \
	  $(MAKE) --no-print-directory passed ITERATIONS=$$k || exit $$?; \
	  ! grep -qs $(TRIPPED)$$k/guard.json || break; done
passed: $(results) $(if $(findstring probe,$(GUARD)),$R/base/probe.json $(STEPS:%=$R/iter-%/probe.json))
	$(JUDGE) --iteration $(ITERATIONS) --quiet --force -o $R/iter-$(ITERATIONS)/guard.json
$R/%/probe.json: $$(EVALUATED_READY) $R/probed-with
	$(RZERO) eval --quiet --model $(EVALUATED) --data $(PROBE) $(PROBE_FLAGS) $(RESUME_FLAGS) -o $@
# Rewritten only if the settings changed; the probe is then evaluated again.
$R/probed-with: always | needs-guard
	@mkdir -p $R/base; echo "$(PROBE) $(PROBE_FLAGS)" | cmp -s - $@ || echo "$(PROBE) $(PROBE_FLAGS)" > $@

# Every Solver on 200 questions of each iteration, as in the paper; those without a true answer are dropped.
DIFFICULTY = $(foreach k,$(STEPS),$(addprefix $R/difficulty/iter-$k/,base.json $(STEPS:%=iter-%.json)))
difficulty: needs-oracle $(DIFFICULTY) ## every Solver of RUN on every iteration's questions, and label accuracy
	$(RZERO) report $R --difficulty --force -o $R/difficulty.json -o $R/difficulty.txt
$R/difficulty/%.json: private EVALUATED = $(if $(filter base,$(notdir $*)),$(MODEL),$R/$(notdir $*)/solver)
$R/difficulty/%.json: $$(@D).jsonl $$(EVALUATED_READY)
	@mkdir -p $(@D)
	$(RZERO) eval --quiet --model $(EVALUATED) --data $< $(DIFFICULTY_FLAGS) --k 0 $(RESUME_FLAGS) -o $@
$R/difficulty/%.jsonl: $R/%/labeled.jsonl | needs-oracle
	@mkdir -p $(@D)
	$(RZERO) oracle $< --known --limit 200 $(ORACLE_FLAGS) $(RESUME_FLAGS) -o $@

# A run has one model, preset and seed. Its largest ITERATIONS is stored: a report shows those missing.
MADE_WITH = model $(MODEL), preset $(or $(PRESET),default), seed $(SEED)
needs-model:
	@$(if $(MODEL),mkdir -p $R,$(error MODEL is not set: make run MODEL=Qwen/Qwen3-4B-Base, or make demo))
	@$(if $(STEPS),,$(error ITERATIONS=$(ITERATIONS): must be a number, at least 1))
	@$(if $(filter-out exact near,$(DEDUP)),$(error DEDUP=$(DEDUP): must be exact or near))
	@test -e $R/made-with || echo "$(MADE_WITH)" > $R/made-with
	@grep -qxF "$(MADE_WITH)" $R/made-with || { echo "$R is a run with $$(cat $R/made-with): choose another RUN" >&2; exit 2; }
	@test $(ITERATIONS) -le "$$(cat $R/iterations 2> /dev/null || echo 0)" || echo $(ITERATIONS) > $R/iterations
needs-oracle:
	@$(if $(ORACLE_FLAGS),,$(error ORACLE_FLAGS is not set, and this target needs true answers: ORACLE_FLAGS='--oracle-endpoint URL --oracle-model NAME'))
needs-guard: needs-model
	@case "$(GUARD)" in probe|diversity|probe,diversity|diversity,probe) ;; \
	  *) echo "GUARD=$(GUARD): must be probe, diversity or probe,diversity" >&2; exit 2;; esac
	@case "$(GUARD)" in *probe*) test -f "$(PROBE)" && test "$(PROBE)" != "$(HELDOUT)" || { \
	  echo "PROBE=$(PROBE): must be a file of questions with true answers, and not HELDOUT" >&2; exit 2; };; esac

# The demo trains its own base model; SIZE=small is a quick try.
SIZE ?= demo
BASE = $(RUNS)/tiny-base-$(SIZE)-$(SEED)
DEMO := $(if $(filter r-zero,$(RUN)),demo$(addprefix -,$(filter-out demo,$(SIZE)))$(addprefix -,$(filter-out 0,$(SEED))),$(RUN))
$(RUNS)/tiny-base-%/rzero.json:
	@mkdir -p $(RUNS)
	$(RZERO) tiny-base --size $(SIZE) --seed $(SEED) $(BASE_FLAGS) $(if $(wildcard $(@D)),--force) -o $(@D)
TINY = RUN=$(DEMO) PRESET=tiny TRUTH=1 MODEL=$(BASE) HELDOUT=$(BASE)/heldout.jsonl PROBE=$(BASE)/probe.jsonl
demo: export OMP_NUM_THREADS ?= 1
demo: export RZERO_ENGINE ?= transformers
demo: $$(BASE)/rzero.json ## the loop on a small model trained here, next to its base-challenger baseline, one core each
	$(MAKE) -j2 loop base-challenger $(TINY)
	$(MAKE) run $(TINY)

help: ## this list
	@awk -F ' *## ' '/^[$$a-z].* ## / {sub(/^[$$]R./, ""); sub("[:/].*", "", $$1); printf "  %-18s %s\n", $$1, $$2}' \
	  $(lastword $(MAKEFILE_LIST)) $(filter-out $(lastword $(MAKEFILE_LIST)),$(MAKEFILE_LIST))
	@echo "The variables are described at the top of $(lastword $(MAKEFILE_LIST))."
