"""A scan, step by step.

`scan_events` resolves the source, reads the files, then loads and runs the model, and yields an
event for each step; the last is `Done` with the report.  `check` is the same without the events.
A probe that breaks becomes a failed `ProbeRun`; it never stops the scan and never passes a model.
All this happens in the caller's process unless it hands in an `Executor` with another one, as the
command line does (`plmscan.worker`): then a probe that takes too much can be ended.

torch and transformers are imported only after the file probes have run and not condemned the
files, and never with ``files_only``.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.budget import Budget
from plmscan.evidence import CONTROL, Coverage, Gap, ProbeRun, ProbeStatus, Report, Severity
from plmscan.policy import decide
from plmscan.probes import (
    comparison_ids,
    comparison_probe,
    dynamic_ids,
    dynamic_probe,
    related_ids,
    related_probe,
    static_ids,
    static_probe,
    text_ids,
    text_probe,
    twin_ids,
    twin_probe,
)
from plmscan.probes.base import FollowUpProbe
from plmscan.probes.relations import Related
from plmscan.probes.words import counted
from plmscan.scan.cache import Cache, is_lasting, key_of
from plmscan.scan.controlling import SEARCH, controlled
from plmscan.scan.events import (
    Done,
    Estimated,
    Event,
    ProbeFinished,
    ProbeStarted,
    Progress,
    Resolved,
)
from plmscan.scan.execution import Executor, Facts, ModelJob
from plmscan.scan.isolation import finished, run_probe, seconds_since, status_of
from plmscan.scan.related import copies, relatives, unchecked_siblings
from plmscan.scan.reporting import (
    identified,
    make_report,
    rejudge,
    rules_for,
    versions,
)
from plmscan.scan.settings import Settings
from plmscan.source import resolve, resolve_stack
from plmscan.uncollected import uncollected
from plmscan.waivers import NO_WAIVERS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence

    from plmscan.evidence import Evidence, Finding, Observation, Scalar
    from plmscan.loading import LoadedModel
    from plmscan.probes.base import ComparisonProbe, DynamicProbe, RelatedProbe, TwinProbe
    from plmscan.rules import Rule
    from plmscan.source import Artifact, SourceOptions
    from plmscan.waivers import Waivers

    _Runs = Generator[Event, None, tuple[ProbeRun, ...]]

__all__ = [
    "Cache",
    "Desk",
    "Done",
    "Estimated",
    "Event",
    "Executor",
    "InProcess",
    "ProbeFinished",
    "ProbeStarted",
    "Progress",
    "Resolved",
    "Settings",
    "accompanied",
    "check",
    "concluded",
    "examined",
    "fetched",
    "measure",
    "not_loaded",
    "rejudge",
    "scan_events",
    "torch_set_up",
]

_LOADING = "loading"
_NO_WEIGHTS = "there are no weights to load."
_READ_WEIGHTS = frozenset({"pickle-globals", "safetensors-header"})
"""File probes that must have read the weights to their end before a library may open them."""


def _ignore(_progress: Progress) -> None:
    """Nobody is watching."""


@dataclass(frozen=True)
class _Texts:
    """The texts of one scan, read before anything is fetched."""

    carriers: tuple[str, ...] | None = None
    """What candidates are put into; None for bundled ones, which the tokenizer decides upon."""
    inspected: tuple[str, ...] = ()
    """What the user wants to have inspected."""

    @classmethod
    def read(cls, settings: Settings) -> _Texts:
        """Those that the settings name."""
        if settings.files_only:
            return cls()
        from plmscan import carriers  # noqa: PLC0415 - not for file checks

        asked = settings.inspected
        return cls(
            carriers.asked_texts(settings.texts, settings.language),
            () if asked is None else carriers.given_texts(asked),
        )


@dataclass(frozen=True)
class _Watch:
    """The clock and the observer of one scan."""

    deadline: float | None
    """``time.monotonic()`` value at which the time is up; None for no limit."""
    on_progress: Callable[[Progress], None]
    """Told how far the running step is."""

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @classmethod
    def of(cls, seconds: float | None, on_progress: Callable[[Progress], None]) -> _Watch:
        """A watch that is over in ``seconds``."""
        return cls(None if seconds is None else time.monotonic() + seconds, on_progress)

    def left(self) -> float | None:
        """Seconds that are left; None for no limit."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def teller(self, step: str) -> Callable[[float, str], None]:
        """A callback that reports the progress of ``step``."""
        return lambda fraction, note: self.on_progress(Progress(step, fraction, note))


class InProcess:
    """Executes all parts of a scan in the caller's process, which nobody can end for it."""

    def inspect(self, probe_id: str, artifact: Artifact, _seconds: float | None) -> ProbeRun:
        """What becomes of one file probe."""
        return run_probe(probe_id, static_probe, lambda probe: probe.inspect(artifact))

    def identify(self, artifact: Artifact) -> Facts:
        """What the files say about the model."""
        return identified(artifact)

    def measure(self, job: ModelJob, on_progress: Callable[[Progress], None]) -> _Runs:
        """Load the model and run the probes that need it."""
        return measure(job, on_progress)

    def told(self, _artifact: Artifact, _reference: Artifact | None) -> Mapping[str, Scalar]:
        """There are no bounds to tell of."""
        return {}


_HERE = InProcess()


def check(source: str, settings: Settings | None = None) -> Report:
    """Scan the model in the folder or Hub repository ``source``.

    Raises:
        SourceError: the model or its reference could not be found or fetched.
        ArtifactError: the files cannot be read at all.
        RuleError: a rule file breaks the format.
        TextsError: the carrier texts cannot be used.
    """
    return next(e.report for e in scan_events(source, settings) if isinstance(e, Done))


def scan_events(
    source: str,
    settings: Settings | None = None,
    on_progress: Callable[[Progress], None] = _ignore,
    cache: Cache | None = None,
    executor: Executor = _HERE,
) -> Iterator[Event]:
    """Scan ``source`` and yield what happens; the last event is `Done`.

    Args:
        source: a folder, or ``org/name`` or ``org/name@revision`` on the Hub.
        settings: what the user asks for.
        on_progress: hears of progress inside a step, while it runs.
        cache: asked for a report of the same files before anything is measured.
        executor: opens the files; by default this process does.

    Raises:
        SourceError: the model or its reference could not be found or fetched.
        ArtifactError: the files cannot be read at all.
        RuleError: a rule file breaks the format.
        TextsError: the carrier texts cannot be used.
    """
    settings = settings or Settings()
    job = yield from fetched(source, settings, on_progress)
    yield from _scanned(source, job, Desk(executor, cache, on_progress))


@dataclass(frozen=True)
class Desk:
    """With whom a scan deals."""

    executor: Executor
    """Opens the files."""
    cache: Cache | None = None
    """Keeps verdicts; None to measure in any case."""
    on_progress: Callable[[Progress], None] = _ignore
    """Hears of progress inside a step."""


def _scanned(source: str, job: ModelJob, desk: Desk) -> Iterator[Event]:
    """Answer from the cache, or read the files and run the model; the last event is `Done`."""
    # The key needs every file of plmscan, which nobody should wait for who keeps no verdicts.
    key = "" if desk.cache is None else _key(job)
    if desk.cache is not None and (kept := desk.cache.get(key)) is not None:
        yield Done(kept, cached=True)
        return
    watch = _Watch.of(job.seconds, desk.on_progress)
    runs, ready = yield from examined(job, desk.executor, desk.on_progress)
    if ready is not None:
        runs += yield from desk.executor.measure(ready, desk.on_progress)
    runs += yield from accompanied(source, replace(job, seconds=watch.left()), runs, desk)
    report = concluded(job, runs, desk.executor)
    if desk.cache is not None and is_lasting(report):
        desk.cache.put(key, report)
    yield Done(report)


def _key(job: ModelJob) -> str:
    """Everything that the report of ``job`` depends on, hashed."""
    return key_of(job.artifact, job.settings, job.rules, versions(), job.reference)


def fetched(
    source: str, settings: Settings, on_progress: Callable[[Progress], None] = _ignore
) -> Generator[Event, None, ModelJob]:
    """The first step of a scan: rules and texts are read, and the files are there and hashed.

    Raises:
        SourceError: the model or its reference could not be found or fetched.
        ArtifactError: the files cannot be read at all.
        RuleError: a rule file breaks the format.
        TextsError: the carrier texts cannot be used.
    """
    rules = rules_for(settings)
    texts = _Texts.read(settings)
    artifact = _resolve_stack(source, settings, on_progress)
    size = sum(file.size for file in artifact.files)
    yield Resolved(artifact.id, artifact.revision, len(artifact.files), size)
    return ModelJob(
        artifact,
        _resolve_reference(settings, on_progress),
        distrust=None,
        carriers=texts.carriers,
        inspected=texts.inspected,
        settings=settings,
        rules=rules,
        seconds=settings.time_limit,
    )


def examined(
    job: ModelJob, executor: Executor, on_progress: Callable[[Progress], None] = _ignore
) -> Generator[Event, None, tuple[tuple[ProbeRun, ...], ModelJob | None]]:
    """The second step: what the file probes found, and the model to load and run.

    There is none if something speaks against it; then what was found says so.
    """
    settings, watch = job.settings, _Watch.of(job.seconds, on_progress)
    runs = yield from _file_stage(job.artifact, executor, watch)
    if watch.is_over() and not settings.files_only:
        return (*runs, _late(_LOADING)), None
    reason = _reason_to_stop(job.artifact, runs, job.rules, settings)
    if reason is not None:
        return (*runs, not_loaded(reason, blocks_pass=not settings.files_only)), None
    distrust = _reason_to_distrust(job, executor, watch)
    return runs, replace(job, distrust=distrust, seconds=watch.left())


def concluded(job: ModelJob, runs: tuple[ProbeRun, ...], executor: Executor) -> Report:
    """The last step: the verdict."""
    facts = {part.id: executor.identify(part) for part in job.artifact.stack}
    return make_report(job, runs, facts, executor.told(job.artifact, job.reference))


def measure(job: ModelJob, on_progress: Callable[[Progress], None] = _ignore) -> _Runs:
    """Load the model of ``job`` and run the probes that need it, in this process."""
    settings, watch = job.settings, _Watch.of(job.seconds, on_progress)
    # Which texts they are is known once the tokenizer is.
    budget = Budget((), settings.effort, settings.seed, watch.deadline)
    stage = _Stage(settings, job.carriers, budget, watch, job.rules)
    if settings.inspected is None:
        return (yield from _model_stage(job, stage))
    return (yield from _text_stage(job.artifact, job.inspected, stage))


def _resolve_stack(
    source: str, settings: Settings, on_progress: Callable[[Progress], None]
) -> Artifact:
    """The files behind ``source``, and those of what it is put on and of what is put on it."""
    options, tell = settings.source_options, _Watch(None, on_progress).teller("source")
    if settings.files_only and not settings.adapter:
        return resolve(source, options, tell)
    return resolve_stack(source, options, settings.base, settings.adapter, tell)


def _has_relatives(job: ModelJob, runs: Sequence[ProbeRun]) -> bool:
    """Whether other models have to be checked as well, and this one was run."""
    settings = job.settings
    inner = settings.adapter_folder is not None or settings.shrunken is not None
    asked = not inner and settings.inspected is None
    others = len(job.artifact.stack) > 1 or job.artifact.layout.siblings or settings.also
    was_run = any(run.id == _LOADING and run.status is not ProbeStatus.SKIPPED for run in runs)
    return bool(asked and others and (was_run or settings.files_only))


def accompanied(source: str, job: ModelJob, before: Sequence[ProbeRun], desk: Desk) -> _Runs:
    """The third step, after `Executor.measure`: checks of the models that belong to this one."""
    if not _has_relatives(job, before):
        return ()
    (probe_id,) = related_ids()
    yield ProbeStarted(probe_id)
    watch = _Watch.of(job.seconds, desk.on_progress)
    finding = _early_verdict(before, job)
    if finding is not None:
        run = _left_out(probe_id, finding)
    elif watch.is_over():
        run = _late(probe_id)
    else:
        began = time.perf_counter()
        own = decide(before, job.rules, fail_on=job.settings.fail_on, required=())
        run = _told(source, replace(job, seconds=watch.left()), own.findings, desk)
        run = replace(run, seconds=seconds_since(began))
    yield ProbeFinished(run)
    return (run,)


def _told(source: str, job: ModelJob, own: Sequence[Finding], desk: Desk) -> ProbeRun:
    """What became of the checks of models that belong to the one of ``job``, which has ``own``."""
    (probe_id,) = related_ids()
    watch = _Watch.of(job.seconds, desk.on_progress)
    tell, found = watch.teller(probe_id), list[Related]()
    quiet = replace(desk, on_progress=lambda progress: tell(progress.fraction, progress.note))

    def observations(probe: RelatedProbe) -> Iterator[Observation]:
        every = (relatives, copies)
        for one in (one for some in every for one in some(job.artifact, job.settings)):
            if watch.is_over():
                yield Gap(f"{one.relation}", "The time limit ran out before it was checked.")
                continue
            artifact = one.artifact or _resolve_stack(source, one.settings, quiet.on_progress)
            its = replace(
                job,
                artifact=artifact,
                reference=None,
                settings=one.settings,
                rules=rules_for(one.settings),
                seconds=watch.left(),
            )
            report = next(e.report for e in _scanned(source, its, quiet) if isinstance(e, Done))
            found.append(Related(one.relation, report))
        yield from probe.tell(found, own)
        for folder in unchecked_siblings(job.artifact):
            reason = "It is one adapter too many to be checked as well. Check it by itself."
            yield Gap(f"adapter in {folder}", reason)

    return run_probe(probe_id, related_probe, observations)


def _resolve(
    source: str, options: SourceOptions, on_progress: Callable[[Progress], None]
) -> Artifact:
    """The files behind ``source``, fetched where they are not on disk."""
    return resolve(source, options, _Watch(None, on_progress).teller("source"))


def _resolve_reference(
    settings: Settings, on_progress: Callable[[Progress], None]
) -> Artifact | None:
    """The files to compare with; None if the model is not compared."""
    if settings.reference is None or settings.files_only or settings.inspected is not None:
        return None
    return _resolve(settings.reference, settings.reference_options, on_progress)


def _file_stage(artifact: Artifact, executor: Executor, watch: _Watch) -> _Runs:
    """Run the probes that read the files."""
    runs: list[ProbeRun] = []
    for probe_id in static_ids():
        yield ProbeStarted(probe_id)
        late = watch.is_over()
        run = _late(probe_id) if late else executor.inspect(probe_id, artifact, watch.left())
        runs.append(run)
        yield ProbeFinished(run)
    return tuple(runs)


def _reason_to_stop(
    artifact: Artifact, runs: tuple[ProbeRun, ...], rules: Collection[Rule], settings: Settings
) -> str | None:
    """Why the model must not be loaded; None if it may be."""
    if settings.files_only:
        return "only the files were asked for (--files-only)."
    bar = settings.fail_on or Severity.CRITICAL
    if _worst(runs, rules, bar, settings.waivers) is not None:
        return "the files were already condemned, so the model was not loaded."
    for part in artifact.stack:
        if part.base_problem is not None:
            return part.base_problem
        if not part.weights:
            return f"{part.id}: {part.weights_problem}" if part is not artifact else _NO_WEIGHTS
    if any(_left_weights_unread(run, artifact) for run in runs):
        return "its weight files could not be checked, so they were not loaded."
    return None


def _worst(
    runs: Sequence[ProbeRun], rules: Collection[Rule], bar: Severity, waivers: Waivers
) -> Finding | None:
    """The worst finding that counts and reaches ``bar``; None without one."""
    found = decide(runs, rules, fail_on=bar, required=(), waivers=waivers).findings
    return next((f for f in found if f.severity >= bar and f.waived is None), None)


def _early_verdict(runs: Sequence[ProbeRun], job: ModelJob) -> Finding | None:
    """The finding after which nothing more need be measured, if the user wants it so."""
    settings = job.settings
    if not settings.fail_fast or settings.fail_on is None:
        return None
    return _worst(runs, job.rules, settings.fail_on, settings.waivers)


def _left_out(probe_id: str, finding: Finding) -> ProbeRun:
    """The record of a probe that ``finding`` made needless; judged milder, it is missed."""
    reason = f"Left out, as --fail-fast asks: {finding.rule} already fails the model."
    gap = Gap("the whole probe", reason)
    return ProbeRun(probe_id, ProbeStatus.SKIPPED, reason, 0.0, 0, gaps=(gap,))


def _left_weights_unread(run: ProbeRun, artifact: Artifact) -> bool:
    """Whether ``run`` should have read a weight file and could not."""
    unread = {gap.subject for gap in run.gaps if gap.blocks_pass}
    ended = run.status in (ProbeStatus.FAILED, ProbeStatus.TIMED_OUT)
    return run.id in _READ_WEIGHTS and (ended or not unread.isdisjoint(artifact.weights))


def not_loaded(reason: str, *, blocks_pass: bool) -> ProbeRun:
    """The record of a model that was not run."""
    gap = Gap("behaviour of the model", reason, blocks_pass=blocks_pass)
    return ProbeRun(_LOADING, ProbeStatus.SKIPPED, reason, 0.0, 0, gaps=(gap,))


@dataclass(frozen=True)
class _Stage:
    """What both ways to run a model need."""

    settings: Settings
    """What the user asked for."""
    given: tuple[str, ...] | None
    """Carrier texts of the user; None for bundled ones."""
    budget: Budget
    """Limits of the probes."""
    watch: _Watch
    """The clock."""
    rules: Collection[Rule]
    """What will judge."""

    def with_texts(self, texts: tuple[str, ...]) -> _Stage:
        """The same with carrier texts."""
        return replace(self, budget=replace(self.budget, texts=texts))

    def told(self, probe_id: str) -> Budget:
        """The limits of one probe, whose progress is told under its id, and what can matter."""
        mine = [rule for rule in self.rules if rule.probe == probe_id]

        def matters(known: Mapping[str, float], pending: Collection[str]) -> bool:
            return any(rule.may_fire(known, pending) for rule in mine)

        return replace(self.budget, on_progress=self.watch.teller(probe_id), matters=matters)


def _model_stage(job: ModelJob, stage: _Stage) -> _Runs:
    """Load the model, compare it, and run the probes that search it, those that follow up last."""
    probes = {probe_id: dynamic_probe(probe_id) for probe_id in dynamic_ids()}
    compared = () if job.reference is None else comparison_ids()
    beside = twin_ids() if job.artifact.on_top else ()
    explaining = [i for i, probe in probes.items() if isinstance(probe, FollowUpProbe)]
    searching = [probe_id for probe_id in probes if probe_id not in explaining]
    asked = (CONTROL,) if job.settings.control else ()
    order = [*compared, *searching, *beside, *explaining, *asked]

    def run(
        probe_id: str, model: LoadedModel, earlier: Sequence[ProbeRun], stage: _Stage
    ) -> ProbeRun:
        if (finding := _early_verdict(earlier, job)) is not None:
            return _left_out(probe_id, finding)
        if probe_id in compared:
            return _run_comparison(probe_id, model, job, stage.told(probe_id))
        if probe_id in beside:
            return _run_beside(probe_id, model, job, _candidates(earlier), stage.told(probe_id))
        if probe_id == CONTROL:
            budget = replace(stage.told(SEARCH), on_progress=stage.watch.teller(CONTROL))
            return controlled(model, job.rules, job.settings.fail_on, budget)
        return _run_model(probe_id, model, _named(earlier, job.rules), stage.told(probe_id))

    return (yield from _with_model(job.artifact, stage, order, run, _announced))


def _announced(model: LoadedModel, budget: Budget) -> Iterator[Event]:
    """How long the search will take, where that can be told."""
    from plmscan.scan.estimate import estimated  # noqa: PLC0415 - imports torch

    # Whatever goes wrong, it is for the probes to say, and to fail of.
    with suppress(Exception):
        yield estimated(model, budget)


def _nothing(_model: LoadedModel, _budget: Budget) -> Iterator[Event]:
    """A few texts take no time worth telling."""
    return iter(())


def _text_stage(artifact: Artifact, texts: Sequence[str], stage: _Stage) -> _Runs:
    """Load the model and inspect given texts with it."""

    def run(
        probe_id: str, model: LoadedModel, _earlier: Sequence[ProbeRun], stage: _Stage
    ) -> ProbeRun:
        told = stage.told(probe_id)
        return run_probe(probe_id, text_probe, lambda p: p.inspect(model, texts, told))

    return (yield from _with_model(artifact, stage, text_ids(), run))


def _with_model(
    artifact: Artifact,
    stage: _Stage,
    order: Sequence[str],
    run: Callable[[str, LoadedModel, Sequence[ProbeRun], _Stage], ProbeRun],
    announced: Callable[[LoadedModel, Budget], Iterator[Event]] = _nothing,
) -> _Runs:
    """Load the model and ``run`` the probes in their ``order``, counting what each costs."""
    if stage.watch.is_over():
        return (_late(_LOADING),)
    with torch_set_up(stage.settings):
        yield ProbeStarted(_LOADING)
        model, texts, loaded = _load(artifact, stage)
        yield ProbeFinished(loaded)
        runs, stage = [loaded], stage.with_texts(texts)
        if model is None:
            return (loaded,)
        yield from announced(model, stage.budget)
        for probe_id in order:
            yield ProbeStarted(probe_id)
            before, late = model.forward_tokens, stage.watch.is_over()
            found = _late(probe_id) if late else run(probe_id, model, runs, stage)
            runs.append(replace(found, forward_tokens=model.forward_tokens - before))
            yield ProbeFinished(runs[-1])
    return tuple(runs)


@contextmanager
def torch_set_up(settings: Settings) -> Iterator[None]:
    """Give torch the threads and the seed of the settings, and its own back afterwards."""
    import torch  # noqa: PLC0415 - only once the files have been read

    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads or before)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            yield
    finally:
        torch.set_num_threads(before)


def _load(
    artifact: Artifact, stage: _Stage
) -> tuple[LoadedModel | None, tuple[str, ...], ProbeRun]:
    """The model with its carrier texts, or None and a failed run that says why."""
    from plmscan.carriers import chosen  # noqa: PLC0415 - not for file checks
    from plmscan.loading import load, unmeasured_modules  # noqa: PLC0415 - imports torch

    began, settings = time.perf_counter(), stage.settings
    try:
        with uncollected():
            model = load(
                artifact,
                settings.device,
                settings.precision,
                allow_pickle=settings.allow_pickle,
                used_as=settings.used_as,
                shrunken=settings.shrunken,
            )
        choice = chosen(model, stage.given, settings.language)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, the model was not scanned
        status, reason = status_of(error, _LOADING)
        return None, (), ProbeRun(_LOADING, status, reason, seconds_since(began), 0)
    files = counted(sum(len(part.weights) for part in artifact.stack), "weight file")
    heads = f"; heads: {', '.join(sorted(model.heads))}" if model.heads else ""
    search = "bfloat16, judged in float32" if model.halved else "float32"
    where = ", ".join(model.locations)
    loaded = Coverage(f"{files} loaded; features at {where}{heads}; searched in {search}.")
    carriers = Coverage(choice.statement, choice.languages)
    tried = Coverage(model.traits.told())
    skipped = (
        Gap(f"features at {location}", why, blocks_pass=False)
        for location, why in model.skipped_locations.items()
    )
    around = unmeasured_modules(artifact.used, model)
    on_top = map(Coverage, model.put_on)
    found: list[Observation] = [loaded, *on_top, tried, carriers, *skipped, *model.gaps, *around]
    return model, choice.texts, finished(_LOADING, found, seconds_since(began))


def _candidates(runs: Sequence[ProbeRun]) -> list[Evidence]:
    """Evidence about candidate triggers."""
    return [e for run in runs for e in run.evidence if e.trigger is not None]


def _named(runs: Sequence[ProbeRun], rules: Collection[Rule]) -> list[Evidence]:
    """The same that a rule names."""
    return [e for e in _candidates(runs) if any(rule.fires(e) for rule in rules)]


def _run_model(
    probe_id: str, model: LoadedModel, suspects: Sequence[Evidence], budget: Budget
) -> ProbeRun:
    """What becomes of a probe that runs ``model``; a follow-up explains ``suspects``."""

    def inspect(probe: DynamicProbe | FollowUpProbe) -> Iterator[Observation]:
        if isinstance(probe, FollowUpProbe):
            return probe.follow_up(model, suspects, budget)
        return probe.inspect(model, budget)

    return run_probe(probe_id, dynamic_probe, inspect)


def _run_comparison(probe_id: str, model: LoadedModel, job: ModelJob, budget: Budget) -> ProbeRun:
    """What becomes of a probe that compares ``model`` with the reference of ``job``."""

    def inspect(probe: ComparisonProbe) -> Iterator[Observation]:
        if job.reference is None:
            return
        if job.distrust is None:
            yield from probe.compare(model, job.reference, budget)
        else:
            yield Gap(f"reference {job.reference.id}", job.distrust)

    return run_probe(probe_id, comparison_probe, inspect)


def _run_beside(
    probe_id: str,
    model: LoadedModel,
    job: ModelJob,
    candidates: Sequence[Evidence],
    budget: Budget,
) -> ProbeRun:
    """What becomes of a probe that reads ``model`` beside itself with its adapters off."""
    from plmscan.loading import load_twin  # noqa: PLC0415 - it is there by now

    def inspect(probe: TwinProbe) -> Iterator[Observation]:
        twin = load_twin(model, job.artifact, allow_pickle=job.settings.allow_pickle)
        if twin is None:
            reason = "The tokenizer of the adapter has other tokens than that of its base."
            yield Gap("the model without its adapters", reason, blocks_pass=False)
            return
        before = twin.forward_tokens
        yield from probe.compare(model, twin, candidates, budget)
        model.meter.add(twin.forward_tokens - before)

    return run_probe(probe_id, twin_probe, inspect)


def _reason_to_distrust(job: ModelJob, executor: Executor, watch: _Watch) -> str | None:
    """Why the weights of the reference must not be opened; None if they may be."""
    reference = job.reference
    if reference is None:
        return None
    if reference.weights_problem is not None:
        return reference.weights_problem
    read = sorted(_READ_WEIGHTS)
    runs = tuple(executor.inspect(probe_id, reference, watch.left()) for probe_id in read)
    alone = replace(job.settings, waivers=NO_WAIVERS)
    reason = _reason_to_stop(reference, runs, job.rules, alone)
    return None if reason is None else f"It was not compared: {reason}"


def _late(probe_id: str) -> ProbeRun:
    """The record of a probe that the time limit left no time for."""
    reason = "The time limit ran out before it began."
    return ProbeRun(probe_id, ProbeStatus.TIMED_OUT, reason, 0.0, 0)
