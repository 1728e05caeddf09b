"""Let a training run that was killed go on where it was."""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

import numpy as np

from lamina.callbacks.callback import Callback, Logs, overrides
from lamina.callbacks.position import Position, random_state, set_random_state
from lamina.validation import Boolean, check_argument

_METADATA = "training_metadata.json"
_PREVIOUS = "prev_training_metadata.json"


class BackupAndRestore(Callback):
    """Back up the state of training; a later `fit` with the same folder continues from it.

    A backup holds the weights, the optimizer's state, the metrics of a running epoch, the seeds of
    random layers and the order of the data. A run that was killed and started again by the same
    program ends with the same weights as one that was not (data that a generator makes up must
    themselves be repeatable). A kill at any moment leaves the last complete backup usable.

    Args:
        backup_dir: folder for the backup, used by nothing else.
        save_freq: "epoch", or after how many batches to save.
        double_checkpoint: whether to keep the backup before the last one too, which is used when
            the last one can't be read.
        delete_checkpoint: whether to delete the folder when training has ended.

    Raises:
        ValueError: for an empty `backup_dir` or another `save_freq`.

    Source: https://keras.io/api/callbacks/backup_and_restore/
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(backup_dir, (str, os.PathLike)) or not os.fspath(backup_dir):
            raise ValueError(
                "BackupAndRestore: Empty `backup_dir` argument passed; it must name a folder. "
                f"Got backup_dir={backup_dir!r}."
            )
        is_count = isinstance(save_freq, int) and not isinstance(save_freq, bool) and save_freq > 0
        if save_freq != "epoch" and not is_count:
            raise ValueError(
                "BackupAndRestore: Invalid value for save_freq: it must be 'epoch' or a positive "
                f"number of batches. Got {save_freq!r}."
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        owner = type(self).__name__
        self.double_checkpoint = check_argument(
            owner, "double_checkpoint", double_checkpoint, Boolean()
        )
        self.delete_checkpoint = check_argument(
            owner, "delete_checkpoint", delete_checkpoint, Boolean()
        )
        self._batches_since_save = 0
        self._current_epoch = 0
        self._last_batch_seen = 0

    @property
    def wants_train_batches(self) -> bool:
        """Only when saving by batches, or when a subclass has its own batch hooks."""
        hooks = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
        return self.save_freq != "epoch" or overrides(self, *hooks, base=BackupAndRestore)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Continue from the backup, if there is one."""
        self._batches_since_save = 0
        for name in (_METADATA, _PREVIOUS):
            path = os.path.join(self.backup_dir, name)
            if not os.path.exists(path):
                continue
            try:
                self._restore(path)
                return
            except (OSError, ValueError, KeyError, TypeError) as error:
                warnings.warn(
                    f"BackupAndRestore: the backup {path} can't be used: {error}", stacklevel=3
                )

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._last_batch_seen = batch
        if self.save_freq == "epoch":
            return
        self._batches_since_save += 1
        if self._batches_since_save >= int(self.save_freq):
            self._batches_since_save = 0
            self._save(self.model._training_loop.position)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._current_epoch = epoch + 1
        self._last_batch_seen = 0
        if self.save_freq == "epoch":
            self._save(self.model._training_loop.position._replace(epoch=epoch + 1, batch=0))

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Delete the backup, which a finished run does not need."""
        if self.delete_checkpoint and os.path.isdir(self.backup_dir):
            import shutil  # loads compression libraries, which no import of lamina needs

            shutil.rmtree(self.backup_dir)

    # ---- the files: weights under a name of their own, and a JSON file that names them. The
    # rename of that file is the one moment at which a backup takes the place of the one before.

    def _save(self, position: Position) -> None:
        from lamina.saving.atomic import replaced  # a higher floor, which is there by now

        os.makedirs(self.backup_dir, exist_ok=True)
        weights = f"epoch_{position.epoch}_batch_{position.batch}.weights.h5"
        self.model.save_weights(os.path.join(self.backup_dir, weights), overwrite=True)
        content = {
            "epoch": position.epoch,
            "batch": position.batch,
            "next_batch": position.next_batch,
            "order_seed": position.order_seed,
            "weights": weights,
            "shapes": self._shapes(),
            "random": random_state(),
            "state": [_plain(v) for v in self._unsaved_variables()],
        }
        latest = os.path.join(self.backup_dir, _METADATA)
        if self.double_checkpoint and os.path.exists(latest):
            os.replace(latest, os.path.join(self.backup_dir, _PREVIOUS))
        with replaced(latest) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump(content, file)
        self._remove_old_weights()

    def _remove_old_weights(self) -> None:
        named = set()
        for name in (_METADATA, _PREVIOUS):
            path = os.path.join(self.backup_dir, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    named.add(json.load(file)["weights"])
        for name in os.listdir(self.backup_dir):
            if name.endswith(".weights.h5") and name not in named:
                os.unlink(os.path.join(self.backup_dir, name))

    def _restore(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        self.model._training_loop.build()
        shapes = self._shapes()
        if shapes != content["shapes"]:
            raise ValueError(
                f"it is of another model: its variables have the shapes {content['shapes']}, those "
                f"of this one {shapes}"
            )
        weights = os.path.basename(content["weights"])
        self.model.load_weights(os.path.join(self.backup_dir, weights))
        for variable, value in zip(self._unsaved_variables(), content["state"], strict=True):
            variable.assign(np.array(value, dtype=variable.dtype).reshape(variable.shape))
        set_random_state(content["random"])
        position = Position(
            content["epoch"],
            content["batch"],
            content["next_batch"],
            (content["order_seed"][0], content["order_seed"][1]),
        )
        self._current_epoch, self._last_batch_seen = position.epoch, position.batch
        self.model._training_loop.resume(position)

    def _shapes(self) -> list[list[int]]:
        """Shapes of all that a backup holds: they tell whether it is of this model."""
        optimizer = getattr(self.model, "optimizer", None)
        saved = [*self.model.weights, *(optimizer.variables if optimizer is not None else [])]
        return [list(v.shape) for v in [*saved, *self._unsaved_variables()]]

    def _unsaved_variables(self) -> list[Any]:
        """What a weights file leaves out: states of random generators and of metrics."""
        weights = {id(v) for v in self.model.weights}
        states = [v for v in self.model.variables if id(v) not in weights]
        known = {id(v) for v in states}
        return states + [v for v in self.model.metrics_variables if id(v) not in known]


def _plain(variable: Any) -> Any:
    return np.asarray(variable.numpy()).tolist()
