"""compile, and the steps of training, testing and prediction as Python code that is traced."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from lamina import structure, tracing
from lamina.stateless import call_with_values
from lamina.trainer import arguments
from lamina.trainer.compile_loss import (
    CompileLoss,
    is_loss_config,
    output_names_of,
    resolve_loss,
)
from lamina.trainer.compiled import CompileMetrics, check_metrics
from lamina.trainer.configuration import CompileConfiguration
from lamina.trainer.loop import MetricState
from lamina.trainer.step import LogVariables, StepCache


class CompiledModel(CompileConfiguration):
    """What `compile` configures, and the Python of one step; users may override the steps."""

    def _init_trainer(self) -> None:
        """Called by Model before anything else."""
        self.compiled = False
        self.optimizer: Any = None
        self.loss: Any = None
        self.stop_training = False
        self._training_loop: Any = None  # the EpochLoop while fit runs
        self.history: Any = None
        self.run_eagerly = False
        self._trainer_steps = StepCache()
        self._trainer_predict: dict[Any, Any] = {}
        self._trainer_revision = -1
        self._trainer_trainable: tuple[int, Any] = (-1, ())
        self._trainer_results = MetricState(self)
        self._trainer_logs = {"train": LogVariables(), "test": LogVariables()}
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
            auto_scale_loss: whether a model whose policy is "mixed_float16" gets its optimizer
                wrapped in a LossScaleOptimizer.

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
        policy = getattr(self, "dtype_policy", None)  # of the Layer that a model is
        needs_scale = auto_scale_loss and getattr(policy, "name", None) == "mixed_float16"
        if needs_scale and not isinstance(new_optimizer, optimizers.LossScaleOptimizer):
            new_optimizer = optimizers.LossScaleOptimizer(
                new_optimizer, name="loss_scale_optimizer"
            )
        for item in [loss] if is_loss_config(loss) else structure.flatten(loss):
            resolve_loss(item)
        check_metrics(metrics, "metrics")
        check_metrics(weighted_metrics, "weighted_metrics")
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
        self._trainer_metrics = CompileMetrics(metrics, weighted_metrics, self._names_of)
        self._trainer_loss_tracker = metrics_module.Mean(name="loss")
        self._trainer_logs = {"train": LogVariables(), "test": LogVariables()}
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
        with tracing.origin("(loss)"):
            loss = self._compute_loss(x, y, y_pred, sample_weight, training=True)
        variables = self.trainable_variables  # type: ignore[attr-defined]
        if variables:
            gradients = tracing.gradients(self.optimizer.scale_loss(loss), variables)
            if all(g is None for g in gradients):
                raise ValueError(
                    "fit(): the loss depends on none of the model's trainable weights."
                )
            tracing.mark_seam()
            with tracing.origin("(optimizer)"):
                self.optimizer.apply(gradients, variables)
        else:
            warnings.warn(
                "fit(): none of the model's weights is trainable; nothing is learned.", stacklevel=2
            )
            tracing.mark_seam()
        with tracing.origin("(metrics)"):
            self._track_loss(loss, x)
            return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data: Any) -> dict[str, Any] | None:
        """One step of evaluation: forward, loss, metrics."""
        x, y, sample_weight = _unpacked(data)
        y_pred = self._forward(x, training=False)
        with tracing.origin("(loss)"):
            loss = self._compute_loss(x, y, y_pred, sample_weight, training=False)
        tracing.mark_seam()
        with tracing.origin("(metrics)"):
            self._track_loss(loss, x)
            return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        """One step of prediction: forward."""
        x, _, _ = _unpacked(data)
        return self._forward(x, training=False)

    def _track_loss(self, loss: Any, x: Any) -> None:
        rows = next(leaf.shape[0] for leaf in structure.iterate(x) if leaf is not None)
        self._trainer_loss_tracker.update_state(loss, sample_weight=float(rows))

    def _compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        loss = self.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        if loss is None:
            raise ValueError(
                "No loss to compute. Pass a loss in compile(), or use add_loss() in a layer."
            )
        if len(loss.shape) != 0:
            raise ValueError(
                f"the loss must be a single number, compute_loss() returned shape {loss.shape}."
            )
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
            if self._trainer_loss is None:
                a = self._compile_arguments
                names = self._names_of(y_pred)
                self._trainer_loss = CompileLoss(a["loss"], a["loss_weights"], y_pred, names)
            total, tracked = self._trainer_loss(y, y_pred, sample_weight)
            rows = float(structure.flatten(y_pred)[0].shape[0])
            for tracker, value in tracked:
                tracker.update_state(value, sample_weight=rows)
            if total is not None:
                losses.append(total)
        losses += self.losses  # type: ignore[attr-defined]
        total = None
        for loss in losses:
            total = loss if total is None else total + loss
        return total

    def stateless_compute_loss(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        metrics_variables: Any,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tuple[Any, tuple[list[Any], list[Any], list[Any]]]:
        """Compute the loss as a function of the model's state, which stays as it is.

        Args:
            trainable_variables, non_trainable_variables, metrics_variables: a value for each of
                the model's.
            x, y, y_pred, sample_weight, training: as for `compute_loss`.

        Returns:
            The loss, and the new values of the three lists.
        """
        given = [list(trainable_variables), list(non_trainable_variables), list(metrics_variables)]
        variables = [
            *self.trainable_variables,  # type: ignore[attr-defined]
            *self.non_trainable_variables,  # type: ignore[attr-defined]
            *self.metrics_variables,
        ]
        loss, values = call_with_values(
            lambda: self.compute_loss(x, y, y_pred, sample_weight, training),
            variables,
            [value for group in given for value in group],
        )
        first, second = len(given[0]), len(given[0]) + len(given[1])
        return loss, (values[:first], values[first:second], values[second:])

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Update the compiled metrics and return the results of all."""
        metrics = self._trainer_metrics
        if y is not None and metrics is not None and not metrics.is_empty:
            used = () if self._trainer_loss is None else self._trainer_loss.is_used
            metrics.update_state(y, y_pred, sample_weight, used)
        return self.get_metrics_result()

    def _names_of(self, y_pred: Any) -> list[str | None]:
        """Names of the outputs in flattened order, None where there are none."""
        return output_names_of(getattr(self, "output_names", None) or [], y_pred)


def _unpacked(data: Any) -> tuple[Any, Any, Any]:
    if not isinstance(data, tuple):
        return data, None, None
    return (*data, None, None)[:3]
