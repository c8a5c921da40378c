"""Online preference training: the policy answers, somebody labels the two answers, one update follows, nothing is used twice.

Everything from token ids on is the offline trainer's: scoring, reference, loss, metrics, checkpoints.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from softpref.core.method import Method
from softpref.core.method_sum import MethodSum
from softpref.core.pair import PairLogps, reduce
from softpref.data.pairs import as_answer, fingerprint
from softpref.data.tokenization import TokenizedPair, TokenizedPairs
from softpref.errors import InputError, OptionError
from softpref.generation.engine import deciding
from softpref.generation.sampling import Sampling, generate
from softpref.judges.base import Comparison, Judge
from softpref.judges.both_orders import judge_comparisons
from softpref.judges.store import JudgementStore
from softpref.judges.watch import MOST_FAILED, Watch
from softpref.records.record import Record
from softpref.records.settings import OnlineSettings
from softpref.run_folder import JUDGEMENTS_FILE
from softpref.scoring.scores import Scorer
from softpref.training.config import SoftPreferenceConfig
from softpref.training.metrics import Weighted
from softpref.training.on_policy import (
    OnlinePrompt,
    OnlineRecord,
    PairLabel,
    SampledPair,
    Sampler,
    draw_pairs,
    engine_apart,
    prompt_rows,
    refuse_another_model,
    tokenize_prompts,
    update_seed,
)
from softpref.training.online_options import OnlineOptions
from softpref.training.trainer import SoftPreferenceTrainer
from softpref.training.trainer_inputs import check_rows, online_config

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ONLINE_FILE = "online.json"
ONLINE_FOLDER = "online"


class OnlineSoftPreferenceTrainer(SoftPreferenceTrainer):
    """Purely on-policy: before every update two responses per prompt are drawn from the current policy and labelled.

    ``per_device_train_batch_size × gradient_accumulation_steps`` prompts on every rank make one update. A pair whose
    judgement failed, or whose two texts are the same, is counted and left out; the update is ``Σ w·ℓ / Σ w`` over the others.
    Labels are constants: self-preference has no gradient through p (arXiv 2409.06691, online experiments).

    Args:
        online: where labels come from and how responses are drawn.
        judge: asked in both orders; its answers lie in ``output_dir/online/judgements.sqlite`` before they are used. A reward
            model is one (``judges.reward_model``). None with ``labels="self"``.
        train_dataset: prompts: texts, or rows with ``prompt``.
        sampler: draws the responses; what ``online.engine`` names, if not given.

    The others are those of ``SoftPreferenceTrainer``; ``eval_dataset`` holds labelled pairs as there.

    Raises:
        InputError: data or options are wrong, the judge does not answer, or no update has had a labelled pair.
        ReferenceMismatchError: as ``SoftPreferenceTrainer``.
    """

    def __init__(
        self,
        model: PreTrainedModel | str | None = None,
        args: SoftPreferenceConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        *,
        online: OnlineOptions,
        judge: Judge | None = None,
        sampler: Sampler | None = None,
        **kwargs: Any,
    ) -> None:
        args = online_config(args)
        check_online(args, online, judge)
        if sampler is not None and online.engine != "transformers":
            raise OptionError(f"online.engine {online.engine} has no effect with a sampler of your own: leave it out")
        self.online, self.judge = online, judge
        self._prompts: str | None = None
        # What is drawn later cannot be scored before. The caller's object stays as it is.
        args = copy(args)
        args.precompute_ref_log_probs = False
        super().__init__(model, args, train_dataset, eval_dataset, **kwargs)
        self.sampler = sampler or _SAMPLERS[online.engine](online, self.train_dataset)
        if online.labels == "self":
            self._refuse_a_start_without_preference()
        self.record = OnlineRecord(self._online_folder, self.args.process_index)
        self.add_callback(_Begin(self.record, self.sampler))
        self._watch = Watch(most_failed=getattr(judge, "max_failed", None) or MOST_FAILED)
        self._left_out: Counter[str] = Counter()

    @property
    def _online_folder(self) -> Path:
        return Path(str(self.args.output_dir)) / ONLINE_FOLDER

    @property
    def described(self) -> dict[str, Any]:
        """What decides which pairs this run draws and how they are labelled; a checkpoint of another is refused."""
        return {
            **deciding(self.online.as_dict()),
            "judge": None if self.judge is None else self.judge.identity,
            "chat_template_kwargs": self.args.chat_template_kwargs or None,
        }

    def _tokenized(
        self,
        dataset: Any,
        name: str,
        tokenizer: PreTrainedTokenizerBase,
        args: SoftPreferenceConfig,
        context: int | None,
    ) -> Any:
        if name != "train_dataset" or dataset is None or isinstance(dataset, TokenizedPairs):
            return super()._tokenized(dataset, name, tokenizer, args, context)
        check_rows(dataset, name)
        rows = prompt_rows(dataset, name)
        self._prompts = fingerprint(rows)  # type: ignore[arg-type]
        return tokenize_prompts(rows, tokenizer, args.token_options(context), self.online.max_new_tokens, name)

    def _refuse_a_start_without_preference(self) -> None:
        if self.reference is None:
            raise OptionError(f"{self.method.name} has no reference, and self-preference is measured against one")
        if self.policy_identity == self.reference.identity and self.args.ties != "keep":
            raise OptionError(
                "the policy is its own reference, so its preference is p = 0.5 for every pair and nothing is ever learned: "
                "start from a model that has moved, and give the one it came from as ref_model"
            )

    # --- one update -------------------------------------------------------------------------------------------------

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """The next prompts, answered and labelled: micro-batches of one update, and Σ w over all of them and all ranks."""
        asked: list[Any] = [self._without_padding(batch) for batch in itertools.islice(epoch_iterator, num_batches)]
        batches = self._answered(asked)
        total = sum((self._weights(batch, device).sum() for batch in batches), torch.zeros((), device=device))
        return batches, self.accelerator.reduce(total, reduction="sum")

    def _answered(self, asked: Sequence[Sequence[OnlinePrompt]]) -> list[list[TokenizedPair]]:
        """Pairs of the current policy's responses for every batch of prompts, without those that have no label."""
        step = self.state.global_step
        pairs = self._draw([prompt for batch in asked for prompt in batch if prompt.weight], step)
        self.record.add_responses(step, pairs)
        logps = self._logps(pairs)
        refuse_another_model(pairs, logps)
        labels = self._labels(pairs, logps)
        self.record.add_labels(step, pairs, labels)
        self._means.add({**self._sample_metrics(pairs, labels, logps), **self._engine_metrics(pairs, logps)})
        self._left_out.update(_why_left_out(label) for label in labels)
        labelled = zip(pairs, labels, strict=True)
        return [self._batch(batch, list(itertools.islice(labelled, sum(bool(p.weight) for p in batch)))) for batch in asked]

    def _batch(self, prompts: Sequence[OnlinePrompt], labelled: Sequence[tuple[SampledPair, PairLabel]]) -> list[TokenizedPair]:
        """The pairs of one batch that have a label. Where none has, other ranks still wait for this one."""
        return [pair.tokens(label.p) for pair, label in labelled if label.p is not None] or [self._equals(prompts[0])]

    def _draw(self, prompts: Sequence[OnlinePrompt], step: int) -> list[SampledPair]:
        o = self.online
        seed = update_seed(self.args.seed, step, self.args.process_index)
        sampling = Sampling(
            temperature=o.temperature,
            top_p=o.top_p,
            samples=2,
            max_new_tokens=o.max_new_tokens,
            batch_size=o.generation_batch_size,
            seed=seed,
            engine=o.engine,
            engine_options=o.engine_options,
            chat_template_kwargs=self.args.chat_template_kwargs,
        )
        with self.accelerator.autocast():
            return draw_pairs(self.sampler, self.model, self.processing_class, prompts, sampling)

    def _equals(self, prompt: OnlinePrompt) -> TokenizedPair:
        """What stands in for a batch of which nothing is left: one response twice, with weight 0."""
        end = [int(self.processing_class.eos_token_id)]
        return TokenizedPair(prompt.ids, end, end, 0.5, 0.0, prompt.row)

    @torch.no_grad()
    def _logps(self, pairs: Sequence[SampledPair]) -> PairLogps:
        """All pairs under the policy as it is and under the reference, (B,) each, in the pairs' order, without gradient."""
        rows = [replace(pair.tokens(), row=place) for place, pair in enumerate(pairs)]
        if not rows:
            nothing = torch.zeros(0, device=self.args.device)
            return PairLogps(nothing, nothing, nothing, nothing, nothing, nothing)
        checked = self._scorer(self.model, rows)
        batches = checked.micro_batches(rows, self.args.token_budget())
        found = [self._batch_logps(checked.scorer, batch) for batch in batches]
        order = torch.tensor([row.row for batch in batches for row in batch]).argsort()
        return _joined(found, order.to(self.args.device))

    def _batch_logps(self, scorer: Scorer, rows: list[TokenizedPair]) -> PairLogps:
        with self.accelerator.autocast():
            policy = scorer(self.model, rows)
            reference = None if self.reference is None else self.reference.score(scorer, rows).like(policy)
        return policy.against(reference)

    # --- labels -----------------------------------------------------------------------------------------------------

    def _labels(self, pairs: Sequence[SampledPair], logps: PairLogps) -> list[PairLabel]:
        different = [place for place, pair in enumerate(pairs) if not pair.identical]
        found = dict(zip(different, self._label_different(pairs, different, logps), strict=True))
        return [found.get(place, PairLabel(None, "identical")) for place in range(len(pairs))]

    def _label_different(self, pairs: Sequence[SampledPair], places: Sequence[int], logps: PairLogps) -> list[PairLabel]:
        if self.judge is None:
            p = self._self_preference(logps)
            return [PairLabel(p[place]) for place in places]
        comparisons = [_comparison(place, pairs[place]) for place in places]
        with JudgementStore(self._online_folder / JUDGEMENTS_FILE) as store:
            judged = judge_comparisons(self.judge, comparisons, store, watch=self._watch)
        return [PairLabel(None, "failed", one.failures[0]) if one.p is None else PairLabel(one.p) for one in judged]

    def _self_preference(self, logps: PairLogps) -> list[float]:
        """``s(beta · h)`` of every pair under the policy itself: numbers, so no gradient passes (arXiv 2409.06691)."""
        beta = self.online.self_beta or self.method.arguments["beta"]
        margin = reduce(logps, self.method.reduction).margin
        return [float(p) for p in torch.sigmoid(beta * margin.double())]

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """As ``SoftPreferenceTrainer``; a run that was done without one labelled pair raises InputError."""
        result = super().train(resume_from_checkpoint, **kwargs)
        if self.state.global_step >= self.state.max_steps:
            self._refuse_to_have_learned_nothing()
        return result

    def _refuse_to_have_learned_nothing(self) -> None:
        drawn = sum(self._left_out.values())
        labelled = torch.tensor([float(self._left_out[""]), float(drawn)], device=self.args.device)
        kept, drawn = self.accelerator.reduce(labelled, reduction="sum").tolist()
        if drawn and not kept:
            reasons = "; ".join(f"{count} times: {reason}" for reason, count in self._left_out.most_common(3) if reason)
            raise InputError(f"none of the {drawn:.0f} pairs that were drawn had a label, so nothing was learned ({reasons})")

    # --- what a step says -------------------------------------------------------------------------------------------

    def _sample_metrics(self, pairs: Sequence[SampledPair], labels: Sequence[PairLabel], logps: PairLogps) -> Weighted:
        """Of all pairs drawn, also of those left out. Every rank has every name: the means are made over all ranks."""
        responses = [response for pair in pairs for response in (pair.first, pair.second)]
        sure = [max(label.p, 1 - label.p) for label in labels if label.p is not None]
        kept = [pair.tokens(label.p) for pair, label in zip(pairs, labels, strict=True) if label.p is not None]
        columns: dict[str, Sequence[float]] = {
            "soft_label": sure,
            "response_length": [len(response.tokens) for response in responses],
            "chosen_length": [len(row.chosen) for row in kept],
            "rejected_length": [len(row.rejected) for row in kept],
            "unfinished_share": [float(not response.finished) for response in responses],
            "failed_share": [float(label.left_out == "failed") for label in labels],
            "identical_share": [float(label.left_out == "identical") for label in labels],
        }
        # of one type, also where a rank has nothing to say: the ranks' sums are added up
        like = {"device": self.args.device, "dtype": torch.float32}
        found = {name: torch.tensor(values, **like) for name, values in columns.items()}
        if self.reference is not None and self.online.draws_from_the_policy:
            found["kl"] = torch.cat([logps.chosen_logratio, logps.rejected_logratio]).float()
        return {name: (values, torch.ones_like(values)) for name, values in found.items()}

    def _engine_metrics(self, pairs: Sequence[SampledPair], logps: PairLogps) -> Weighted:
        """How far the engine is from the policy: it stays where it is, or the engine has kept old weights."""
        apart = torch.tensor(engine_apart(pairs, logps), device=self.args.device, dtype=torch.float32)
        return {"engine_apart": (apart, torch.ones_like(apart))} if self.online.engine != "transformers" else {}

    # --- going on ---------------------------------------------------------------------------------------------------

    def _beside_weights(self) -> dict[str, Record]:
        return {**super()._beside_weights(), ONLINE_FILE: self._settings()}

    def _settings(self) -> OnlineSettings:
        return OnlineSettings(described=self.described, prompts=self._prompts or "")

    def _check_resumable(self, folder: Path) -> None:
        super()._check_resumable(folder)
        made_with, now = OnlineSettings.read(folder / ONLINE_FILE), self._settings()
        there, here = ({**deciding(dict(one.described)), "prompts": one.prompts} for one in (made_with, now))
        for name, value in json.loads(json.dumps(here)).items():
            if there.get(name) != value:
                raise OptionError(f"{folder}: was made with another {name}: {there.get(name)}, not {value}")


class _Begin(TrainerCallback):
    """The record begins where the training does, and an engine ends with it."""

    def __init__(self, record: OnlineRecord, sampler: Sampler) -> None:
        self.record, self.sampler = record, sampler

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.record.begin(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        close = getattr(self.sampler, "close", None)
        if close is not None:
            close()


def _check_method(method: Method | MethodSum) -> None:
    if not method.needs_rejected:
        raise OptionError(f"{method.name} compares no responses, so it has no online form")
    if method.needs_tie:
        raise OptionError(f"{method.name} models ties, and a label made online does not say how probable one is")


def check_online(args: SoftPreferenceConfig, online: OnlineOptions, judge: Judge | None) -> None:
    """Refuse what online training would ignore, and labels that could teach nothing. Raises OptionError."""
    method = args.method()
    if online.labels is None:
        raise OptionError("online.labels is not given: judge or self")
    if (online.labels == "judge") != (judge is not None):
        raise OptionError(
            "online.labels is 'judge': give the judge"
            if judge is None
            else "a judge has no effect with online.labels 'self': leave it out"
        )
    _check_method(method)
    if args.precompute_ref_log_probs:
        raise OptionError("precompute_ref_log_probs is on, but online there are no pairs before training: leave it out")
    for name, default in (("truncation", "drop"), ("boundary", "error"), ("reference_cache", None)):
        if getattr(args, name) != default:
            raise OptionError(f"{name} has no effect online: leave it out")
    if online.engine == "vllm":
        _check_one_process(args, online)
    if args.fsdp or args.deepspeed:
        raise OptionError("online training does not work with FSDP or DeepSpeed yet: leave them out")
    if online.labels == "self":
        _check_self_preference(method, online)


def _check_one_process(args: SoftPreferenceConfig, online: OnlineOptions) -> None:
    if args.world_size > 1:
        raise OptionError(f"online.engine vllm works in one process, and there are {args.world_size}: leave it out")
    more = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "distributed_executor_backend")
    for name in more:
        if name in online.engine_options:
            raise OptionError(f"online.engine_options: {name} wants more processes, and there is one: leave it out")


def _through_vllm(online: OnlineOptions, prompts: Sequence[OnlinePrompt]) -> Sampler:
    from softpref.training.vllm_sampler import VllmSampler

    return VllmSampler(online.engine_options, max(len(one.ids) for one in prompts) + online.max_new_tokens)


_SAMPLERS: Mapping[str, Callable[[OnlineOptions, Sequence[OnlinePrompt]], Sampler]] = {
    "transformers": lambda *_: generate,
    "vllm": _through_vllm,
}


def _check_self_preference(method: Any, online: OnlineOptions) -> None:
    beta = method.arguments.get("beta")
    if online.self_beta is None and beta is None:
        raise OptionError(f"{method.name} has no beta, so self-preference needs one: give online.self_beta")
    if method.name == "dpo" and method.treatment == "conservative" and online.self_beta in (None, beta):
        raise OptionError(
            "conservative dpo on its own preference at the same beta has the gradient p − s(beta · h) = 0 for every pair: "
            "give another online.self_beta"
        )


def _why_left_out(label: PairLabel) -> str:
    """Empty for a pair that has a label."""
    if label.left_out is None:
        return ""
    return f"the judgement failed ({label.reason})" if label.reason else f"the two responses were {label.left_out}"


def _comparison(place: int, pair: SampledPair) -> Comparison:
    prompt = pair.prompt.prompt
    return Comparison(str(place), prompt, as_answer(prompt, pair.first.text), as_answer(prompt, pair.second.text))


def _joined(batches: Sequence[PairLogps], order: Tensor) -> PairLogps:
    """All batches' pairs in one, the first of them at ``order[0]``."""
    found: dict[str, Any] = {}
    for name in vars(batches[0]):
        parts = [getattr(one, name) for one in batches]
        found[name] = None if parts[0] is None else torch.cat(parts)[order]
    return PairLogps(**found)
