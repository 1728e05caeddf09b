"""Trainer: fit, evaluate, predict. Models inherit it.

Python code (`train_step` and what it calls) runs once per kind of batch, on symbolic tensors; the
program that comes out runs whole epochs in C++.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import _core, config, dtypes, structure, tracing
from lamina.layers.revision import revision
from lamina.trainer import arguments
from lamina.trainer.compiling import CompiledModel
from lamina.trainer.data import (
    ArraySource,
    class_weights,
    plain,
    row_count,
    source_of,
    split_validation,
    to_columns,
)
from lamina.trainer.loop import EpochLoop, require_compiled
from lamina.trainer.step import Step, is_leaf, key_of, packed, run_eagerly, symbolic_inputs, trimmed

_SHORT_WAY_ROWS = 65536  # a predict() of more rows takes long beside setting up a loop


def _in_batches(main: Step, tail: Step | None, rows: int, batch: int) -> Any:
    """What computes the outputs for a column of so many rows, as the program of one batch does."""
    shape, dtype = main.outputs
    last = None if tail is None else tail.program

    def compute(columns: list[np.ndarray]) -> list[np.ndarray]:
        results = [_core.empty_array((rows, *shape[1:]), dtype)]
        _core.run_epoch(main.program, last, columns, rows, batch, sinks=results)  # type: ignore[arg-type]
        return results

    return compute


class Trainer(CompiledModel):
    """Training, evaluation and prediction of a model."""

    # ---- programs

    def _step(self, mode: str, parts: tuple[Any, ...]) -> Step:
        """The program for batches like these (x, y, sample_weight)."""
        self._refresh()
        key = key_of(mode, parts)
        if mode == "train":
            key = (key, self._trainable_signature())
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
                    outputs = structure.map_structure(
                        lambda t: (t.shape, dtypes.outgoing(t.dtype)), y_pred
                    )
                else:
                    step = self.train_step if mode == "train" else self.test_step
                    if self._has_default_step(mode):
                        step(data)
                    else:
                        self._trainer_logs[mode].keep(step(trimmed(data)) or {})
            finally:
                self._clear_losses()  # type: ignore[attr-defined]
        return Step(mode, tracer, outputs, names)

    def _refresh(self) -> None:
        """Forget the programs when an attribute of a layer was replaced since they were traced."""
        if self._trainer_revision != revision.attributes:
            self._trainer_revision = revision.attributes
            self._forget_programs()

    def _trainable_signature(self) -> Any:
        """Which layers are trained; programs of both kinds are kept when this goes to and fro."""
        count, signature = self._trainer_trainable
        if count != revision.trainable:
            layers = self._flatten_layers()  # type: ignore[attr-defined]
            signature = tuple(layer.trainable for layer in layers)
            self._trainer_trainable = (revision.trainable, signature)
        return signature

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
        shuffle: bool | str = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        *,
        profile: Any = None,
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
            shuffle: whether the rows come in a new order every epoch; "batch": whole batches
                change places.
            class_weight: dict from class number to weight.
            sample_weight: array of one weight per row.
            initial_epoch: number of the first epoch.
            steps_per_epoch: batches per epoch; all when None.
            validation_steps: batches of validation; all when None.
            validation_batch_size: as batch_size.
            validation_freq: validate every so many epochs, or after the epochs in a list.
            profile: True times the training steps and prints where the time went; a path of a
                folder writes table.txt, profile.png and trace.json there; a dict gives "path"
                and "steps" (of how many of the last steps every time is kept). The weights come
                out the same. See `lamina.profile`.

        Returns:
            A History whose `history` maps log names to one number per epoch. With `profile` its
            attribute `profile` is the Profile.

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
        source = source_of(x, y, sample_weight, class_weight, batch_size, shuffle, steps_per_epoch)
        validation = None
        if validation_data is not None:
            validation = self._validation_source(
                validation_data, validation_batch_size or batch_size
            )
            if validation_steps is not None and hasattr(validation_data, "__next__"):
                validation = validation.first_batches(validation_steps)
                validation_steps = None
        elif validation_split:
            if not isinstance(source, ArraySource):
                raise ValueError(
                    "fit(): validation_split needs arrays; pass validation_data instead."
                )
            source, validation = split_validation(
                source, float(validation_split), class_weighted=bool(class_weight)
            )
            if validation_batch_size is not None:
                validation.batch_size = validation_batch_size
        epochs = config.limited(epochs, config.max_epochs()) or epochs
        loop = EpochLoop(self, "train", source, steps_per_epoch, callbacks, verbose, epochs=epochs)
        if profile is None or profile is False:
            return loop.fit(initial_epoch, validation, validation_steps, validation_freq)
        from lamina.profiling.run import fit_profiled

        return fit_profiled(
            self, loop, profile, initial_epoch, validation, validation_steps, validation_freq
        )

    def _validation_source(self, data: Any, batch_size: int | None) -> Any:
        if isinstance(data, (tuple, list)):
            if not 2 <= len(data) <= 3:
                raise ValueError(
                    "fit(): validation_data must be (x, y) or (x, y, sample_weight). "
                    f"Got {len(data)} parts."
                )
            x, y, weight = (*data, None)[:3]
            return source_of(x, y, weight, batch_size=batch_size, who="fit(validation_data)")
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
            raise ValueError(f"evaluate(): unknown arguments {sorted(kwargs)}.")
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
            if self._trainer_revision != revision.attributes:
                self._refresh()
            is_plain = batch_size is None or type(batch_size) is int
            if is_plain and config.max_steps_per_epoch() is None:
                run = self._trainer_predict.get((x.shape, x.dtype.char, batch_size))
                if run is not None:
                    return run(x)
        arguments.optional_whole("predict()", "batch_size", batch_size)
        arguments.optional_whole("predict()", "steps", steps)
        verbose = arguments.check_verbose("predict()", verbose)
        source = source_of(x, batch_size=batch_size, steps=steps, who="predict()")
        result = EpochLoop(self, "predict", source, steps, callbacks, verbose).predict()
        if type(x) is np.ndarray and isinstance(source, ArraySource) and not self.run_eagerly:
            if callbacks is None and steps is None and 0 < x.shape[0] <= _SHORT_WAY_ROWS:
                self._remember_predict(x, source, batch_size)
        return result

    def _remember_predict(self, x: np.ndarray, source: Any, batch_size: int | None) -> None:
        """Keep a short way to the programs for arrays of this shape and dtype."""
        column, rows = source.x, x.shape[0]
        batch, dtype = min(source.batch_size, rows), column.dtype
        main = self._step("predict", (column[:batch],))
        if dtype != x.dtype and not (x.dtype.kind == "f" and dtype.kind == "f"):
            return
        if not is_leaf(main.outputs):
            return
        bounded = any(bound >= 0 for bound in main.bounds)
        compute = main.program.__call__
        if rows > batch:
            tail = self._step("predict", (column[: rows % batch],)) if rows % batch else None
            compute = _in_batches(main, tail, rows, batch)

        def run(x: np.ndarray) -> np.ndarray:
            if x.dtype is not dtype or not (x.flags.c_contiguous and x.flags.aligned):
                x = plain(x, dtype)
            try:
                return compute([x])[0]
            except ValueError:
                if bounded:  # the program saw an id out of range: say where
                    main.check_ids([x], "predict()")
                raise

        if len(self._trainer_predict) >= 64:
            self._trainer_predict.clear()
        self._trainer_predict[(x.shape, x.dtype.char, batch_size)] = run

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

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """The loss and the metrics of one batch."""
        require_compiled(self, "test_on_batch()")
        logs = self._on_batch("test", x, y, sample_weight, "test_on_batch()")
        return logs if return_dict else self._ordered_logs(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        x = to_columns(x, "x")
        if self.run_eagerly:
            return packed(*run_eagerly(self, "predict", (x,)))
        step = self._step("predict", (x,))
        columns = [leaf for leaf in structure.flatten(x) if leaf is not None]
        step.check_ids(columns, "predict_on_batch()")
        return packed(step.outputs, step.program(columns))

    def _on_batch(
        self, mode: str, x: Any, y: Any, sample_weight: Any, who: str
    ) -> dict[str, float]:
        x, y = to_columns(x, "x"), to_columns(y, "y")
        weight = to_columns(sample_weight, "sample_weight")
        row_count(who, x=x, y=y, sample_weight=weight)
        parts = (x, y, weight)
        if self.run_eagerly:
            self._trainer_results.reset()
            run_eagerly(self, mode, parts)
            return self._trainer_results.read(mode)
        step = self._step(mode, parts)
        self._trainer_results.reset()
        columns = [leaf for leaf in structure.flatten(parts) if leaf is not None]
        step.check_ids(columns, who)
        step.program(columns)
        return self._trainer_results.read(mode)

    def _ordered_logs(self, logs: dict[str, float]) -> Any:
        """Loss first, then the metrics as compiled, then the rest by name."""
        names = self._trainer_results.metric_names()
        ordered = [logs[name] for name in names if name in logs]
        ordered += [logs[name] for name in sorted(logs) if name not in names]
        return ordered[0] if len(ordered) == 1 else ordered
