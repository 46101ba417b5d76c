"""The exact public surface: a name that comes or goes must be meant."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import pytest

import ostinato

PUBLIC: dict[str, set[str]] = {
    "ostinato": {
        "Binding", "Cycle", "Plan", "ResolvedPlan", "Schedule", "Scheduler", "SharedValue", "SnapshotEnsemble", "__version__", "augment", "balanced", "controls", "data", "errors",
        "evaluation", "mirror", "nn", "one_cycle", "parameter_groups", "population", "range_test", "schedule", "schedules", "search", "was_stepped", "wave",
    },
    "ostinato.applications.adversarial": {"Coverage", "Games", "Mixture", "TwoPlayers", "loss", "mixture", "play", "waves"},
    "ostinato.applications.continual": {
        "Batch", "Buffer", "ClassBalanced", "Feed", "Replay", "Reservoir", "Stream", "StreamResult", "Task", "average_accuracy", "backward_transfer",
        "decayed", "forgetting", "gdumb", "new_task_accuracy", "permuted", "replay_times", "split", "train_stream",
    },
    "ostinato.applications.imbalance": {
        "FocalLoss", "ImbalanceReport", "class_weights", "long_tail", "long_tailed", "long_tailed_rows", "report",
    },
    "ostinato.applications.landscapes": {
        "Curvature", "Descent", "DoubleWells", "GradientNoise", "Logistic", "MovingQuadratic", "Plateau", "Problem", "Quadratic", "Rosenbrock", "Saddle", "Share", "Times",
        "curvature_of", "descend", "gradient_noise_of", "share",
    },
    "ostinato.applications.federated": {
        "Federation", "LocalRound", "PeriodicAveraging", "Phases", "SimulationResult", "batches_of", "merge", "partitions", "simulate",
    },
    "ostinato.applications.privacy": {
        "Audit", "Leak", "Memory", "MemoryFit", "ScheduledNoise", "Shadows", "attack_scores", "auc", "audit", "confidence", "epsilon", "fit_memory", "halves", "leak", "lira", "log_probability", "matched",
        "over_pairs", "rmia", "save_audit", "train_shadows",
    },
    "ostinato.applications.privacy.auditing": {"Audit", "audit", "save_audit"},
    "ostinato.applications.reinforcement": {
        "Difficulty", "Grid", "PARAMETERS", "PlanCallback", "Returns", "environments", "interquartile_mean", "stratified_bootstrap",
    },
    "ostinato.augment": {
        "Augment", "NAMES", "colour", "cutmix", "cutout", "feature_dropout", "feature_noise", "flip", "generator", "mixup", "noise", "shift", "soft",
        "token_dropout",
    },
    "ostinato.balance": {"Total", "balanced", "strengths_of", "total_of"},
    "ostinato.applications.folding": {
        "BasinHopping", "Course", "Descent", "Energy", "Folding", "Found", "Hits", "METHODS", "MODELS", "Multistart", "Noise", "REFERENCES", "Reference", "anneal",
        "default_plan", "fibonacci", "fold", "of_residues", "polish", "random_angles", "reference", "search",
    },
    "ostinato.bench": {"BENCHMARKS", "Row", "Timing", "interleaved", "machine", "run"},
    "ostinato.cli": {"main"},
    "ostinato.data": {"Batch", "Collate", "CountedSampler", "Indices", "Place", "ScheduledDataset", "ScheduledLoader", "counted"},
    "ostinato.ensembles": {
        "Evaluation", "GapByPhase", "Member", "MethodChoice", "NormGap", "NormGapRecord", "SingleModel", "SnapshotEnsemble", "norm_gap",
    },
    "ostinato.errors": {
        "ConfigError", "DamagedSnapshotWarning", "DataError", "DomainError", "FollowedError", "ForeignWriteWarning", "NonFiniteError", "OstinatoError",
        "OstinatoWarning", "PastTotalWarning", "PhaseLockWarning", "PlanError", "PopulationFallbackWarning", "RecompileWarning", "RunInterruptedError", "SingleModelWarning", "StateError", "StorageError", "TargetError",
        "TruncatedCycleWarning", "suggest",
    },
    "ostinato.comparison": {"ArmScore", "Comparison", "ComparisonFolder", "Effect", "Summary", "compare", "judge", "resume", "summarise"},
    "ostinato.controls": {
        "NAMES", "Control", "constant", "cosine", "in_phase", "linear", "make", "matched_decay", "matched_product", "phase_shuffled",
        "shifted", "shifts", "shuffled", "sorted", "tuned_constant",
    },
    "ostinato.evaluation": {
        "CalibrationCurve", "ClassReport", "Decision", "Interval", "PhaseReport", "Sampling", "TTest", "Verdict", "area_under_error", "at_ends", "at_peaks", "at_phases",
        "at_temperature", "at_troughs", "average_precision", "balanced_error", "brier", "by_phase", "calibration_curve", "chance_of_verdict", "class_report",
        "conclude", "coprime", "decide", "decide_unpaired", "disagreement", "ece", "error", "every", "examine", "holm", "jittered", "judge",
        "low_discrepancy", "n_to_decide", "nll", "nll_at_temperature", "paired_t", "phases_seen", "studentised_bootstrap",
        "studentised_bootstrap_unpaired", "summarise", "temperature", "two_way_bootstrap", "welch_t",
    },
    "ostinato.export": {"export", "frameworks", "to_torch"},
    "ostinato.nn": {
        "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FocalLoss",
        "InputNoise", "LabelSmoothingCrossEntropy", "RandomLayer", "RandomShift", "ScheduledModule", "StochasticDepth", "Swapped", "Temperature", "compile_safe", "functional",
    },
    "ostinato.population": {"PopulationResult", "counted", "predict", "single", "train"},
    "ostinato.schedules": {"Schedule", "clip", "hold", "join", "linear", "one_cycle", "product", "sum", "warmup"},
    "ostinato.search": {
        "Choice", "MatchedPhasePruner", "Objective", "Range", "RangeTest", "Search", "Space", "Suggestion", "follow", "optimize", "range_test", "resume",
        "untouched",
    },
    "ostinato.search.sweeps": {"RangeTest", "Suggestion", "range_test", "untouched"},
    "ostinato.studies": {"EvidenceFolder", "NAMES", "Runner", "Study", "every", "find"},
    "ostinato.studies.folding": {"STUDY"},
    "ostinato.studies.frame": {"EvidenceFolder", "Finding", "Judgement", "NAMES", "Runner", "Study", "every", "find", "judge"},
    "ostinato.studies.adam_cycles": {"STUDY"},
    "ostinato.studies.gan_phase": {"STUDY"},
    "ostinato.studies.phase_lock": {"STUDY"},
    "ostinato.studies.restart_shapes": {"STUDY"},
    "ostinato.studies.rl_curriculum": {"STUDY"},
    "ostinato.studies.antiphase_regularisation": {"STUDY"},
    "ostinato.studies.weight_decay_escape": {"STUDY"},
    "ostinato.studies.weight_decay_phase": {"STUDY"},
    "ostinato.studies.batchnorm_momentum": {"STUDY"},
    "ostinato.studies.federated_phase": {"STUDY"},
    "ostinato.studies.moving_landscape": {"STUDY"},
    "ostinato.studies.membership_breathing": {"STUDY"},
    "ostinato.studies.snapshot_ensemble": {"STUDY"},
    "ostinato.studies.replay_phase": {"STUDY"},
    "ostinato.storage": {
        "TensorFile", "clean_temporaries", "commit_directory", "load_tensors", "pack", "read_bytes", "read_json", "remove_file",
        "save_tensors", "sha256_file", "temporary_path", "unpack", "write_bytes", "write_json",
    },
    "ostinato.targets": {
        "Accessor", "AttributeSlot", "GroupSlot", "GroupWatch", "ItemSlot", "Slot", "UnselectedError", "as_optimizer", "find",
        "may_be_scheduled", "roots_of",
    },
    "ostinato.testing": {"TargetTestCase"},
    "ostinato.training": {"Observer", "RunConfig", "RunFolder", "evaluate_run", "load_config", "parse_config", "resume", "train"},
    "ostinato.training.report": {"RunReport", "Series", "render"},
}  # fmt: skip


def packages() -> set[str]:
    """Every package below ostinato that announces names."""
    found = {"ostinato"}
    for info in pkgutil.walk_packages(ostinato.__path__, "ostinato."):
        if info.ispkg and getattr(importlib.import_module(info.name), "__all__", None):
            found.add(info.name)
    return found


def listed(module: str) -> list[str]:
    names: list[str] = importlib.import_module(module).__all__
    return names


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_the_public_names_are_exactly_these(module: str) -> None:
    names = listed(module)
    assert set(names) == PUBLIC[module]
    assert len(names) == len(set(names))


def test_no_package_has_public_names_that_are_not_pinned_here() -> None:
    assert packages() <= PUBLIC.keys()


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in sorted(PUBLIC) for name in sorted(PUBLIC[module])]
)
def test_every_public_name_exists_and_says_what_it_is(module: str, name: str) -> None:
    found = getattr(importlib.import_module(module), name)
    if name == "__version__":
        assert found.count(".") >= 2
        return
    documented = inspect.getdoc(found)
    assert documented, f"{module}.{name} has no docstring"
    assert own_text(found), f"{module}.{name} inherits its docstring"


def own_text(found: Any) -> bool:
    """Whether the docstring is its own, and more than the signature that a dataclass writes by itself."""
    text = found.__doc__ or ""
    return bool(text.strip()) and not text.startswith(f"{getattr(found, '__name__', '?')}(")


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_every_public_method_and_property_of_a_public_class_says_what_it_does(module: str) -> None:
    silent = []
    for name in PUBLIC[module]:
        found = getattr(importlib.import_module(module), name)
        if not inspect.isclass(found):
            continue
        for attribute, value in vars(found).items():
            method = inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)
            if method and not attribute.startswith(("_", "test_")) and not inspect.getdoc(getattr(found, attribute)):
                silent.append(f"{module}.{name}.{attribute}")
    assert silent == []


def test_the_lazy_names_are_the_things_themselves_and_an_unknown_one_is_an_error() -> None:
    from ostinato.ensembles import SnapshotEnsemble
    from ostinato.scheduler import Scheduler

    assert ostinato.Scheduler is Scheduler
    assert ostinato.SnapshotEnsemble is SnapshotEnsemble
    assert dir(ostinato) == sorted(ostinato.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Schedular'"):
        ostinato.Schedular  # noqa: B018 - reading it is the test


def test_the_names_of_the_designs_first_example_are_public() -> None:
    for path in [
        "Plan.load",
        "Plan.save",
        "Plan.replace",
        "Plan.shifted",
        "Plan.resolve",
        "Plan.bind",
        "Plan.plot",
        "Plan.table",
        "ResolvedPlan.table",
    ]:
        owner, _, method = path.partition(".")
        assert callable(getattr(getattr(ostinato, owner), method))
