"""Trainer: compile, fit, evaluate, predict. Models inherit it.

Python code (`train_step` and what it calls) runs once per kind of batch, on symbolic tensors; the
program that comes out runs whole epochs in C++.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina import structure, tracing
from lamina.trainer import arguments
from lamina.trainer.compiled import CompileLoss, CompileMetrics, check_metric, resolve_loss
from lamina.trainer.data import ArraySource, class_weights, row_count, source_of, split_validation, to_columns
from lamina.trainer.loop import EpochLoop, MetricState, require_compiled
from lamina.trainer.step import LogVariables, Step, StepCache, key_of, run_eagerly, symbolic_inputs


class Trainer:
    """Training, evaluation and prediction of a model."""

    def _init_trainer(self) -> None:
        """Called by Model before anything else."""
        self.compiled = False
        self.optimizer: Any = None
        self.loss: Any = None
        self.stop_training = False
        self.history: Any = None
        self.run_eagerly = False
        self._trainer_steps = StepCache()
        self._trainer_predict: dict[Any, Any] = {}
        self._trainer_results = MetricState(self)
        self._trainer_logs = LogVariables()
        self._trainer_loss: CompileLoss | None = None
        self._trainer_metrics: CompileMetrics | None = None
        self._trainer_loss_tracker: Any = None
        self._compile_arguments: dict[str, Any] = {}

    # ---- compile

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Configure training.

        Args:
            optimizer: name or Optimizer.
            loss: name, function `(y_true, y_pred)`, Loss, or a list or dict of them by output.
            loss_weights: factors of the losses of several outputs, a list or dict.
            metrics: list of names, functions or Metrics (by output: list of lists, or dict).
            weighted_metrics: the same, but sample and class weights count in them.
            run_eagerly: run the Python code of the step at every batch, where it may print and
                decide on numbers; slower, for debugging.
            steps_per_execution: accepted; whole epochs run in C++ in any case.
            jit_compile: accepted; everything is compiled.
            auto_scale_loss: accepted; float32 and float64 need no loss scaling.

        Raises:
            ValueError: for a name that does not exist (a near one is suggested).

        Source: https://keras.io/api/models/model_training_apis/
        """
        from lamina import metrics as metrics_module
        from lamina import optimizers

        for name, value in (("run_eagerly", run_eagerly), ("auto_scale_loss", auto_scale_loss)):
            if not isinstance(value, bool):
                raise ValueError(f"compile(): {name} must be True or False. Got {value!r}.")
        arguments.optional_whole("compile()", "steps_per_execution", steps_per_execution)
        new_optimizer = optimizers.get(optimizer)
        for item in structure.flatten(loss):
            resolve_loss(item)
        for entry in structure.flatten([metrics, weighted_metrics]):
            check_metric(entry)
        if self.optimizer is not None and self.optimizer is not new_optimizer:
            self.optimizer.release()  # its flat buffers; the next one packs the weights anew
        self.optimizer = new_optimizer
        self.loss = loss
        self.run_eagerly = run_eagerly
        self.steps_per_execution = steps_per_execution
        self.jit_compile = jit_compile
        self._compile_arguments = {
            "optimizer": optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
            "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution, "jit_compile": jit_compile,
        }  # fmt: skip
        self._trainer_loss = None
        self._trainer_metrics = None
        self._trainer_loss_tracker = metrics_module.Mean(name="loss")
        self._trainer_logs = LogVariables()
        self._forget_programs()
        self.stop_training = False
        self.compiled = True

    def _forget_programs(self) -> None:
        """Trace again at the next call: after compile, or a change of the model's layers."""
        self._trainer_steps.clear()
        self._trainer_predict.clear()
        self._trainer_results.clear()

    @property
    def metrics(self) -> list[Any]:
        """The loss tracker, the compiled metrics, and the metrics of the layers."""
        found = [] if self._trainer_loss_tracker is None else [self._trainer_loss_tracker]
        if self._trainer_metrics is not None and not self._trainer_metrics.is_empty:
            found.append(self._trainer_metrics)
        if self._trainer_loss is not None:
            found += [t for t in self._trainer_loss.trackers if t is not None]
        own = super().metrics  # type: ignore[misc]
        return found + [m for m in own if not any(m is f for f in found)]

    @property
    def metrics_names(self) -> list[str]:
        return [m.name for m in self.metrics]

    @property
    def metrics_variables(self) -> list[Any]:
        return [v for m in self.metrics for v in m.variables]

    def reset_metrics(self) -> None:
        """Start all metrics again, as every epoch does."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """Results of all metrics by log name."""
        results: dict[str, Any] = {}
        for metric in self.metrics:
            value = metric.result()
            if isinstance(value, Mapping):
                results.update(value)
            else:
                results[metric.name] = value
        return results

    # ---- the steps: Python that is traced; users may override them

    def _forward(self, x: Any, training: bool) -> Any:
        self._clear_losses()  # type: ignore[attr-defined]
        return self(x, training=training)  # type: ignore[operator]

    def train_step(self, data: Any) -> dict[str, Any] | None:
        """One step of training on a batch: forward, loss, gradients, update, metrics."""
        x, y, sample_weight = _unpacked(data)
        y_pred = self._forward(x, training=True)
        loss = self._compute_loss(x, y, y_pred, sample_weight, training=True)
        variables = self.trainable_variables  # type: ignore[attr-defined]
        if variables:
            gradients = tracing.gradients(loss, variables)
            if all(g is None for g in gradients):
                raise ValueError("fit(): the loss depends on none of the model's trainable weights.")
            tracing.mark_seam()
            self.optimizer.apply(gradients, variables)
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
            tracing.mark_seam()
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data: Any) -> dict[str, Any] | None:
        """One step of evaluation: forward, loss, metrics."""
        x, y, sample_weight = _unpacked(data)
        y_pred = self._forward(x, training=False)
        loss = self._compute_loss(x, y, y_pred, sample_weight, training=False)
        tracing.mark_seam()
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        """One step of prediction: forward."""
        x, _, _ = _unpacked(data)
        return self._forward(x, training=False)

    def _track_loss(self, loss: Any, x: Any) -> None:
        rows = structure.flatten(x)[0].shape[0]
        self._trainer_loss_tracker.update_state(loss, sample_weight=float(rows))

    def _compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        if loss is None:
            raise ValueError(
                "No loss to compute. Pass a loss in compile(), or add one with add_loss() in a layer."
            )
        if len(loss.shape) != 0:
            raise ValueError(f"the loss must be a single number, compute_loss() returned shape {loss.shape}.")
        tracer = tracing.current_tracer()
        if tracer is not None:
            tracer.output(loss)
        return loss

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of a batch: compiled losses, regularization and what layers added."""
        losses = []
        if self.loss is not None and y is not None:
            names, true, pred, weight = self._by_output(y, y_pred, sample_weight)
            if self._trainer_loss is None:
                self._trainer_loss = self._make_loss(names, y_pred)
            total, tracked = self._trainer_loss(true, pred, weight)
            for tracker, value in tracked:
                tracker.update_state(value, sample_weight=float(pred[0].shape[0]))
            if total is not None:
                losses.append(total)
        losses += self.losses  # type: ignore[attr-defined]
        total = None
        for loss in losses:
            total = loss if total is None else total + loss
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Update the compiled metrics and return the results of all."""
        if y is not None:
            names, true, pred, weight = self._by_output(y, y_pred, sample_weight)
            if self._trainer_metrics is None:
                self._trainer_metrics = self._make_metrics(names, y_pred)
            if not self._trainer_metrics.built:
                self._trainer_metrics.build(true, pred)
            self._trainer_metrics.update_state(true, pred, weight)
        return self.get_metrics_result()

    def _make_loss(self, names: list[str], y_pred: Any) -> CompileLoss:
        a = self._compile_arguments
        return CompileLoss(a["loss"], a["loss_weights"], names, names)

    def _make_metrics(self, names: list[str], y_pred: Any) -> CompileMetrics:
        a = self._compile_arguments
        return CompileMetrics(a["metrics"], a["weighted_metrics"], names, names)

    def _by_output(self, y: Any, y_pred: Any, sample_weight: Any) -> tuple[list[str], list[Any], list[Any], list[Any]]:
        """Labels, outputs and weights as lists in one order, with the outputs' names."""
        pred = structure.flatten(y_pred)
        if isinstance(y_pred, Mapping):
            names = sorted(y_pred)
        else:
            names = list(getattr(self, "output_names", None) or [])
            if len(names) != len(pred):
                names = [f"output_{i}" for i in range(len(pred))] if len(pred) > 1 else ["output"]
        return names, _aligned(y, names, "y"), pred, _weights(sample_weight, names)

    # ---- programs

    def _step(self, mode: str, parts: tuple[Any, ...]) -> Step:
        """The program for batches like these (x, y, sample_weight)."""
        key = key_of(mode, parts)
        step = self._trainer_steps.find(key)
        if step is None:
            step = self._trainer_steps.add(key, self._trace(mode, parts))
            if mode != "predict":
                self._trainer_results.clear()  # the trace may have made metrics
        return step

    def _trace(self, mode: str, parts: tuple[Any, ...]) -> Step:
        with tracing.Tracer() as tracer:
            data, names = symbolic_inputs(tracer, parts)
            outputs = None
            try:
                if mode == "predict":
                    y_pred = self.predict_step(data)
                    tensors = structure.flatten(y_pred)
                    for tensor in tensors:
                        tracer.output(tensor)
                    outputs = structure.map_structure(lambda t: (t.shape, t.dtype), y_pred)
                else:
                    step = self.train_step if mode == "train" else self.test_step
                    if self._has_default_step(mode):
                        step(data)
                    else:
                        self._trainer_logs.keep(step(_trimmed(data)) or {})
            finally:
                self._clear_losses()  # type: ignore[attr-defined]
        return Step(tracer, outputs, names)

    def _has_default_step(self, mode: str) -> bool:
        """Whether the step's logs are just the metrics' results, which are read when needed."""
        name = "train_step" if mode == "train" else "test_step"
        own = getattr(type(self), name) is getattr(Trainer, name)
        return own and type(self).compute_metrics is Trainer.compute_metrics

    # ---- fit, evaluate, predict

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> Any:
        """Train for a number of epochs.

        Args:
            x: array, list or dict of arrays with the samples on axis 0, or an iterable of batches
                `(x, y)` or `(x, y, sample_weight)`.
            y: labels in the same forms.
            batch_size: samples per update; 32 when None. Not for iterables.
            epochs: number of the last epoch.
            verbose: 1 or "auto": progress bar; 2: a line per epoch; 0: nothing.
            callbacks: list of Callbacks.
            validation_split: share of the last rows kept for validation, in [0, 1).
            validation_data: (x, y) or (x, y, sample_weight); takes precedence over the split.
            shuffle: whether the rows come in a new order every epoch.
            class_weight: dict from class number to weight.
            sample_weight: array of one weight per row.
            initial_epoch: number of the first epoch.
            steps_per_epoch: batches per epoch; all when None.
            validation_steps: batches of validation; all when None.
            validation_batch_size: as batch_size.
            validation_freq: validate every so many epochs, or after the epochs in a list.

        Returns:
            A History whose `history` maps log names to one number per epoch.

        Raises:
            ValueError: for a bad argument; it names the argument, the value and what is allowed.
            RuntimeError: if the model is not compiled.

        Source: https://keras.io/api/models/model_training_apis/
        """
        require_compiled(self, "fit()")
        arguments.check_fit(
            batch_size, epochs, initial_epoch, validation_split, validation_freq, class_weight,
            steps_per_epoch, validation_steps, validation_batch_size, shuffle,
        )  # fmt: skip
        verbose = arguments.check_verbose("fit()", verbose)
        source = source_of(x, y, sample_weight, class_weight, batch_size, bool(shuffle), steps_per_epoch)
        validation = None
        if validation_data is not None:
            validation = self._validation_source(validation_data, validation_batch_size or batch_size)
        elif validation_split:
            if not isinstance(source, ArraySource):
                raise ValueError("fit(): validation_split needs arrays; pass validation_data instead.")
            source, validation = split_validation(source, float(validation_split))
            if validation_batch_size is not None:
                validation.batch_size = validation_batch_size
        loop = EpochLoop(self, "train", source, steps_per_epoch, callbacks, verbose, epochs=epochs)
        return loop.fit(initial_epoch, validation, validation_steps, validation_freq)

    def _validation_source(self, data: Any, batch_size: int | None) -> Any:
        if isinstance(data, (tuple, list)):
            if not 2 <= len(data) <= 3:
                raise ValueError(
                    "fit(): validation_data must be (x, y) or (x, y, sample_weight). "
                    f"Got {len(data)} parts."
                )
            return source_of(*data, batch_size=batch_size, who="fit(validation_data)")
        return source_of(data, batch_size=batch_size, who="fit(validation_data)")

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Compute the loss and the metrics on data, without training.

        Returns:
            The loss, or a list of the loss and the metrics; a dict by name with return_dict.

        Raises:
            ValueError: for a bad argument.
        """
        if kwargs:
            raise ValueError(f"Arguments not recognized: {kwargs}")
        require_compiled(self, "evaluate()")
        arguments.optional_whole("evaluate()", "batch_size", batch_size)
        arguments.optional_whole("evaluate()", "steps", steps)
        verbose = arguments.check_verbose("evaluate()", verbose)
        source = source_of(x, y, sample_weight, None, batch_size, False, steps, who="evaluate()")
        logs = EpochLoop(self, "test", source, steps, callbacks, verbose).evaluate()
        return logs if return_dict else self._ordered_logs(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Compute the outputs for data.

        Returns:
            NumPy array(s) in the structure of the model's outputs.

        Raises:
            ValueError: for a bad argument.
        """
        if verbose == 0 and type(x) is np.ndarray and callbacks is None and steps is None:
            # The way of a small request: no source, no loop, one dictionary lookup.
            run = self._trainer_predict.get((x.shape, x.dtype.char))
            if run is not None and (batch_size is None or batch_size >= x.shape[0]):
                return run(x)
        arguments.optional_whole("predict()", "batch_size", batch_size)
        arguments.optional_whole("predict()", "steps", steps)
        verbose = arguments.check_verbose("predict()", verbose)
        source = source_of(x, batch_size=batch_size, steps=steps, who="predict()")
        result = EpochLoop(self, "predict", source, steps, callbacks, verbose).predict()
        if type(x) is np.ndarray and 0 < x.shape[0] <= 32 and not self.run_eagerly:
            self._remember_predict(x, source)
        return result

    def _remember_predict(self, x: np.ndarray, source: Any) -> None:
        """Keep a short way to the program for arrays of this shape and dtype."""
        column = source.x
        step = self._step("predict", (column,))
        program, bounded = step.program, any(b >= 0 for b in step.bounds)
        if not isinstance(step.outputs, tuple) or isinstance(step.outputs[0], dict):
            return
        dtype = column.dtype
        if len(self._trainer_predict) >= 64:
            self._trainer_predict.clear()

        def run(x: np.ndarray) -> np.ndarray:
            if x.dtype is not dtype or not x.flags.c_contiguous:
                x = np.ascontiguousarray(x, dtype)
            if bounded:
                step.check_ids([x], "predict()")
            return program([x])[0]

        if dtype == x.dtype or (x.dtype.kind == "f" and dtype.kind == "f"):
            self._trainer_predict[(x.shape, x.dtype.char)] = run

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """One update on one batch. Returns the loss and the metrics, as evaluate does."""
        require_compiled(self, "train_on_batch()")
        if class_weight is not None:
            arguments.check_class_weight("train_on_batch()", class_weight)
            if sample_weight is not None:
                raise ValueError(
                    "train_on_batch(): give class_weight or sample_weight, not both. "
                    f"Got class_weight={class_weight!r} and a sample_weight."
                )
            sample_weight = class_weights(to_columns(y, "y"), class_weight)
        logs = self._on_batch("train", x, y, sample_weight, "train_on_batch()")
        return logs if return_dict else self._ordered_logs(logs)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """The loss and the metrics of one batch."""
        require_compiled(self, "test_on_batch()")
        logs = self._on_batch("test", x, y, sample_weight, "test_on_batch()")
        return logs if return_dict else self._ordered_logs(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        x = to_columns(x, "x")
        if self.run_eagerly:
            return _packed(*run_eagerly(self, "predict", (x,)))
        step = self._step("predict", (x,))
        columns = [leaf for leaf in structure.flatten(x) if leaf is not None]
        step.check_ids(columns, "predict_on_batch()")
        return _packed(step.outputs, step.program(columns))

    def _on_batch(self, mode: str, x: Any, y: Any, sample_weight: Any, who: str) -> dict[str, float]:
        x, y = to_columns(x, "x"), to_columns(y, "y")
        weight = to_columns(sample_weight, "sample_weight")
        row_count(who, x=x, y=y, sample_weight=weight)
        parts = (x, y, weight)
        if self.run_eagerly:
            self._trainer_results.reset()
            run_eagerly(self, mode, parts)
            return self._trainer_results.read()
        step = self._step(mode, parts)
        self._trainer_results.reset()
        columns = [leaf for leaf in structure.flatten(parts) if leaf is not None]
        step.check_ids(columns, who)
        step.program(columns)
        return self._trainer_results.read()

    def _ordered_logs(self, logs: dict[str, float]) -> Any:
        """Loss first, then the metrics as compiled, then the rest by name."""
        names: list[str] = []
        for metric in self.metrics:
            names += [m.name for m in metric.metrics] if isinstance(metric, CompileMetrics) else [metric.name]
        ordered = [logs[name] for name in names if name in logs]
        ordered += [logs[name] for name in sorted(logs) if name not in names]
        return ordered[0] if len(ordered) == 1 else ordered


def _packed(outputs: Any, arrays: Sequence[np.ndarray]) -> Any:
    """Arrays in the structure of the outputs; its leaves are (shape, dtype)."""
    remaining = iter(arrays)

    def build(value: Any) -> Any:
        if isinstance(value, dict):
            made = {key: build(value[key]) for key in sorted(value)}
            return {key: made[key] for key in value}
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
            return next(remaining)
        return type(value)(build(item) for item in value)

    return build(outputs)


def _unpacked(data: Any) -> tuple[Any, Any, Any]:
    if not isinstance(data, tuple):
        return data, None, None
    return (*data, None, None)[:3]


def _trimmed(data: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without trailing Nones, as a user's train_step expects its data."""
    while len(data) > 1 and data[-1] is None:
        data = data[:-1]
    return data


def _aligned(y: Any, names: list[str], what: str) -> list[Any]:
    if isinstance(y, Mapping):
        for key in y:
            if key not in names:
                raise ValueError(f"{what} names {key!r}, but the outputs are {names}.")
        return [y.get(name) for name in names]
    if isinstance(y, (list, tuple)):
        if len(y) != len(names):
            raise ValueError(f"{what} has {len(y)} arrays, the model has {len(names)} outputs: {names}.")
        return list(y)
    if len(names) > 1:
        raise ValueError(f"{what} is one array, the model has {len(names)} outputs: {names}.")
    return [y]


def _weights(sample_weight: Any, names: list[str]) -> list[Any]:
    if sample_weight is None:
        return [None] * len(names)
    if isinstance(sample_weight, (Mapping, list, tuple)):
        return _aligned(sample_weight, names, "sample_weight")
    return [sample_weight] * len(names)


__all__ = ["Trainer"]
