"""The epochs of fit, evaluate and predict: callbacks around runs of the C++ epoch runner."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina import _core, config, tracing
from lamina.callbacks.callback_list import CallbackList
from lamina.callbacks.position import Position
from lamina.layers.revision import revision
from lamina.metrics import Metric
from lamina.trainer.arguments import validate_now
from lamina.trainer.compiled import CompileMetrics
from lamina.trainer.data import ArraySource, Batch, leaves, shuffle_seed, warn_ran_out
from lamina.trainer.step import Step, is_leaf, packed, run_eagerly

_PROGRESS_MS = 50.0  # how often Python is entered during an epoch: signals, progress bar


def require_compiled(model: Any, who: str) -> None:
    if not model.compiled:
        raise ValueError(f"{who}: the model is not compiled. Call compile(optimizer, loss) first.")


class MetricState:
    """The metrics of a model while it runs: how to reset them and to read their results.

    The list of metrics is looked up once after each trace, and the usual cases (state that starts
    at zero, results that the engine can compute) take one call into C++ each.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.clear()

    def clear(self) -> None:
        self._is_ready = False

    def __getstate__(self) -> dict[str, Any]:
        return {"_model": self._model, "_is_ready": False}

    def _prepare(self) -> None:
        metrics = self._model.metrics
        singles = [
            s for m in metrics for s in (m.metrics if isinstance(m, CompileMetrics) else [m])
        ]
        self._metric_names = [metric.name for metric in singles]
        plain = [m for m in singles if type(m).reset_state is Metric.reset_state]
        self._zeroed = [v.handle for m in plain for v in m.variables]
        self._others = [m for m in singles if type(m).reset_state is not Metric.reset_state]
        self._program: Any = None
        self._names: list[str] = []
        self._is_ready = True
        try:
            with tracing.Tracer() as tracer:
                results = self._model.get_metrics_result()
                tensors = {name: tracing.convert(results[name]) for name in sorted(results)}
                for tensor in tensors.values():
                    tracer.output(tensor)
            if all(tensor.shape == () for tensor in tensors.values()):
                self._names = list(tensors)
                self._program = tracer.program()
        except TypeError:
            pass  # a metric of the user's computes its result with NumPy or Python: read it eagerly

    def reset(self) -> None:
        if not self._is_ready:
            self._prepare()
        _core.set_to_zero(self._zeroed)
        for metric in self._others:
            metric.reset_state()

    def metric_names(self) -> list[str]:
        """Names of the single metrics: the loss, the compiled ones, those of the layers."""
        if not self._is_ready:
            self._prepare()
        return self._metric_names

    def read(self, mode: str) -> dict[str, float]:
        """Logs of "train" or "test" by name, in alphabetical order as Keras has them."""
        own = self._model._trainer_logs[mode]
        if own.variables:
            return dict(sorted(own.values().items()))
        if not self._is_ready:
            self._prepare()
        if self._program is not None:
            return dict(zip(self._names, self._program.read_numbers(), strict=True))
        values = self._model.get_metrics_result()
        return {name: _number(values[name]) for name in sorted(values)}


def _number(value: Any) -> Any:
    array = np.asarray(value)
    return float(array.item()) if array.size == 1 else array.tolist()


class EpochLoop:
    """Runs one mode ("train", "test" or "predict") of a model over a source."""

    def __init__(
        self,
        model: Any,
        mode: str,
        source: Any,
        steps: int | None,
        callbacks: Any,
        verbose: int,
        epochs: int = 1,
    ) -> None:
        self.model, self.mode, self.source = model, mode, source
        self.steps = config.limited(steps, config.max_steps_per_epoch())
        self.total = steps if steps is not None else source.steps
        if isinstance(source, ArraySource) and steps is not None:
            self.total = min(steps, source.steps)
        self.callbacks: CallbackList = (
            callbacks
            if isinstance(callbacks, CallbackList)
            else CallbackList(
                callbacks,
                add_history=mode == "train",
                add_progbar=verbose != 0,
                model=model,
                verbose=verbose,
                epochs=epochs,
                steps=self.total,
            )
        )
        self.epochs = epochs
        self._wants_batches = bool(getattr(self.callbacks, f"wants_{mode}_batches"))
        self.profiler: Any = None  # sees every program before it runs
        self._next_batch = 0  # a limited epoch goes on where the last one stopped
        self._order: np.ndarray | None = None
        self._outputs: list[Any] = []
        self._warned = False
        self._prepared_at: tuple[int, int] | None = None
        # Whole epochs run in C++, unless Python makes the batches or is to run on each.
        self._in_engine = isinstance(source, ArraySource) and not model.run_eagerly
        self._epoch = 0
        self._done = 0  # batches of the epoch that are done
        self._skipped = 0  # of them, those that an earlier process has done
        self._order_seed = (0, 0)
        self._resumed: Position | None = None
        self._epochs_run = 0
        self._has_ended = False

    # ---- the three loops

    def fit(
        self,
        initial_epoch: int,
        validation: Any,
        validation_steps: int | None,
        validation_freq: Any,
    ) -> Any:
        model, callbacks = self.model, self.callbacks
        self._prepare()
        evaluator = None
        if validation is not None:
            evaluator = EpochLoop(model, "test", validation, validation_steps, callbacks, 0)
            evaluator._prepare()
        model.stop_training = False
        model._training_loop = self
        callbacks.on_train_begin()
        initial_epoch = self._resumed_epoch(initial_epoch)
        logs: dict[str, Any] = {}
        epochs_ran = False
        for epoch in range(initial_epoch, self.epochs):
            self._epoch = epoch
            epochs_ran = True
            if not self._skipped:
                model._trainer_results.reset()
            callbacks.on_epoch_begin(epoch)
            self._prepare()
            self._run()
            if self._has_ended:
                break
            logs = model._trainer_results.read(mode="train")
            self._check_loss(logs)
            if evaluator is not None and validate_now(epoch, validation_freq):
                val_logs = evaluator.evaluate()
                logs |= {f"val_{name}": value for name, value in val_logs.items()}
                logs = dict(sorted(logs.items()))
            callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        if model.optimizer is not None and epochs_ran:
            model.optimizer.finalize_variable_values(model.trainable_weights)
        callbacks.on_train_end(logs)
        model._training_loop = None
        return model.history

    # ---- going on where another process was stopped

    @property
    def position(self) -> Position:
        """The next batch of this run of training."""
        return Position(self._epoch, self._done, self._next_batch, self._order_seed)

    def build(self) -> None:
        """Make all variables of training, so that saved values can be put into them."""
        if self._in_engine:
            return  # traced already
        if isinstance(self.source, ArraySource):
            parts = self.source.batch_of(min(self.source.batch_size, self.source.rows))
        else:
            parts = self.source.first()
        if not self.model.run_eagerly:
            self.model._step("train", parts)
            return
        run_eagerly(self.model, "test", parts)
        if self.model.optimizer is not None:
            self.model.optimizer.build(self.model.trainable_variables)

    def resume(self, position: Position) -> None:
        """Begin `fit` there; to be called while training begins."""
        self._resumed = position
        self._done = self._skipped = position.batch
        self._next_batch = position.next_batch
        self._order_seed = position.order_seed

    def _resumed_epoch(self, initial_epoch: int) -> int:
        if self._resumed is None:
            return initial_epoch
        if self._in_engine and self._next_batch and self.source.shuffle:
            self._order = self.source.order(self._order_seed)
        return self._resumed.epoch

    def evaluate(self) -> dict[str, float]:
        self._prepare()
        self.callbacks.on_test_begin()
        self.model._trainer_results.reset()
        self._next_batch = 0
        self._run()
        logs = self.model._trainer_results.read(mode="test")
        self.callbacks.on_test_end(logs)
        return logs

    def predict(self) -> Any:
        self._prepare()
        self.callbacks.on_predict_begin()
        self._run()
        self.callbacks.on_predict_end()
        # This loop may outlive the call, until Python looks for cycles; its results must not.
        outputs, self._outputs = self._outputs, []
        if self._in_engine:
            return packed(self._structure, outputs)
        if not outputs:
            raise ValueError("predict(): the data source yielded no batch.")
        parts = [np.concatenate(column) for column in zip(*outputs, strict=True)]
        return packed(self._structure, parts)

    # ---- running batches

    @property
    def _who(self) -> str:
        return {"train": "fit()", "test": "evaluate()", "predict": "predict()"}[self.mode]

    def _prepare(self) -> None:
        """Trace the programs and look at the ids first; again when layers changed since."""
        now = (revision.attributes, revision.trainable)
        if self._prepared_at == now or not self._in_engine:
            return
        self._prepared_at = now
        rows, batch = self.source.rows, min(self.source.batch_size, max(self.source.rows, 1))
        if rows == 0:
            raise ValueError(f"{self._who}: x has no rows.")
        self._batch = batch
        self._main = self._step_for(batch)
        rest = rows % batch
        self._tail = self._step_for(rest) if rest else None
        self._columns = leaves(self.source.x) if self.mode == "predict" else self.source.columns
        self._main.check_ids(self._columns, self._who)

    def _step_for(self, rows: int) -> Step:
        parts = self.source.batch_of(rows)
        return self._step_of(parts[:1] if self.mode == "predict" else parts)

    def _step_of(self, parts: tuple[Any, ...]) -> Step:
        step: Step = self.model._step(self.mode, parts)
        if self.profiler is not None:
            self.profiler.watch(step)
        return step

    def _run(self) -> None:
        if self._in_engine:
            self._run_arrays()
        else:
            self._run_stream()

    def _run_arrays(self) -> None:
        source, batches = self.source, self.source.steps
        if self._next_batch == 0 and source.shuffle:
            self._order_seed = shuffle_seed()
            self._order = source.order(self._order_seed)
        skipped, self._skipped = self._skipped, 0
        first = self._next_batch
        last = batches if self.steps is None else min(first - skipped + self.steps, batches)
        sinks: list[Any] = []
        if self.mode == "predict":
            self._structure = self._main.outputs
            rows = min(last * self._batch, source.rows)
            self._outputs = sinks = self._predict_buffers(rows)
        before, after = self._hooks(first - skipped)
        done, stopped = _core.run_epoch(
            self._main.program, self._tail.program if self._tail else None,  # type: ignore[arg-type]
            self._columns, source.rows, self._batch, self._order if source.shuffle else None,
            first, last, before, after, self._wants_batches, _PROGRESS_MS,
            self.mode == "train" and not self._warned,
            self._report_nonfinite if self.mode == "train" else None, sinks,
        )  # fmt: skip
        self._next_batch = 0 if last >= batches else last
        if self.steps is not None and skipped + done < self.steps and not stopped and first > 0:
            warn_ran_out()
        if self.mode != "train":
            self._next_batch = 0

    def _predict_buffers(self, rows: int) -> list[np.ndarray]:
        buffers = []
        for shape, dtype in _leaf_specs(self._structure):
            if not shape or shape[0] != self._batch:
                raise ValueError(
                    f"predict(): an output has shape {shape} for a batch of {self._batch} rows; "
                    "the batch must be its first axis. Call the model directly instead."
                )
            buffers.append(_core.empty_array((rows, *shape[1:]), dtype))
        return buffers

    def _hooks(self, first: int) -> tuple[Callable[[int], Any] | None, Callable[[int], Any] | None]:
        """What C++ calls before and after batches, if anybody wants it."""
        callbacks, model, mode = self.callbacks, self.model, self.mode
        if self._wants_batches:
            begin = getattr(callbacks, f"on_{mode}_batch_begin")
            end = getattr(callbacks, f"on_{mode}_batch_end")

            def before(batch: int) -> None:
                begin(batch - first)

            def after(batch: int) -> bool:
                self._done, self._next_batch = batch - first + 1, batch + 1
                logs = (
                    {"outputs": self._outputs}
                    if mode == "predict"
                    else model._trainer_results.read(mode)
                )
                end(batch - first, logs)
                return not model.stop_training if mode == "train" else True

            return before, after
        if callbacks.wants_progress:

            def show(batch: int) -> None:
                logs = {} if mode == "predict" else model._trainer_results.read(mode)
                callbacks.on_progress(batch - first + 1, logs)

            return None, show
        return None, None

    def _run_stream(self) -> None:
        source, callbacks, mode, model = self.source, self.callbacks, self.mode, self.model
        wants = self._wants_batches
        done = 0
        skipped, self._skipped = self._skipped, 0
        if not skipped and getattr(source, "shuffle", False):
            self._order_seed = shuffle_seed()
        source.begin_epoch()
        for batch in source.epoch(self.steps, self._order_seed):
            if done < skipped:
                done += 1
                continue
            if wants:
                getattr(callbacks, f"on_{mode}_batch_begin")(done)
            self._run_batch(batch)
            self._done = done + 1
            if wants:
                logs = {} if mode == "predict" else model._trainer_results.read(mode)
                getattr(callbacks, f"on_{mode}_batch_end")(done, logs)
            elif callbacks.wants_progress:
                callbacks.on_progress(
                    done + 1, {} if mode == "predict" else model._trainer_results.read(mode)
                )
            done += 1
            if mode == "train" and model.stop_training:
                break
        if done == 0 and self._epochs_run:
            warn_ran_out()  # in an earlier epoch: there is nothing left to learn from
            self._has_ended = True
        elif done == 0:
            raise ValueError(f"{self._who}: the data source yielded no batch.")
        self._epochs_run += mode == "train"
        source.end_epoch()

    def _run_batch(self, batch: Batch) -> None:
        parts = batch[:1] if self.mode == "predict" else batch
        if self.model.run_eagerly:
            self._structure, outputs = run_eagerly(self.model, self.mode, parts)
            self._outputs.append(outputs)
            return
        step = self._step_of(parts)
        columns = leaves(parts)
        step.check_ids(columns, self._who)
        outputs = step.program(columns)
        if self.mode == "predict":
            self._structure = step.outputs
            self._outputs.append(outputs)

    # ---- numbers that are none

    def _report_nonfinite(self, batch: int, inputs: list[np.ndarray]) -> None:
        """Say where the first bad number was born; called before the weights change."""
        self._warned = True
        rows = inputs[0].shape[0]
        step = self._main if rows == self._batch else self._tail
        found = step.tracer.graph.find_nonfinite(inputs) if step is not None else None
        where = "the loss itself"
        if found is not None:
            op, origin = found
            where = f"layer '{origin}' (op {op})" if origin else f"op {op}"
            if origin.startswith("("):  # no layer: what the training step adds
                where = f"the {origin[1:-1]} (op {op})"
            if op.startswith("input "):
                name = step.names[int(op[6:])]  # type: ignore[union-attr]
                where = f"the data: {name} holds NaN or infinity"
        warnings.warn(
            f"fit(): the loss is not finite in epoch {self._epoch + 1}, batch {batch + 1}. The "
            f"first value that is not finite comes from {where}. A smaller learning rate, "
            "clipnorm, or a look at the data may help.",
            RuntimeWarning,
            stacklevel=2,
        )

    def _check_loss(self, logs: dict[str, Any]) -> None:
        loss = logs.get("loss")
        if isinstance(loss, float) and not math.isfinite(loss) and not self._warned:
            self._warned = True
            warnings.warn(
                f"fit(): the loss is not finite in epoch {self._epoch + 1}.",
                RuntimeWarning,
                stacklevel=3,
            )


def _leaf_specs(outputs: Any) -> list[tuple[Any, str]]:
    if isinstance(outputs, dict):
        return [spec for key in sorted(outputs) for spec in _leaf_specs(outputs[key])]
    if is_leaf(outputs):
        return [outputs]
    return [spec for item in outputs for spec in _leaf_specs(item)]
