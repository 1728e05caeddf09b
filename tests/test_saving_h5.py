"""`.h5` files of Keras 2 and Keras 3 go on here, and ours there; weights found by name."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_close
from tests.golden import h5_cases
from tests.processes import ROOT

h5py = pytest.importorskip("h5py")

REAL_KERAS = os.environ.get("LAMINA_REAL_KERAS")  # a Python that has Keras 3 and torch
REAL_KERAS_2 = os.environ.get("LAMINA_REAL_KERAS_2")  # one that has tf_keras
pytestmark = pytest.mark.filterwarnings("ignore:HDF5 is the older format")


def reference(origin: str, name: str) -> dict[str, Any]:
    with np.load(h5_cases.REFERENCE) as file:
        start = f"{origin}|{name}|"
        return {key[len(start) :]: file[key] for key in file.files if key.startswith(start)}


def check_like(result: dict[str, Any], origin: str, name: str) -> None:
    expected = reference(origin, name)
    assert set(result) == set(expected)
    # TensorFlow's moving variance divides by n - 1, that of Keras 3 by n.
    rtol = 1e-3 if (origin, name) == (h5_cases.KERAS_2, "convolution") else 1e-4
    for key, value in expected.items():
        check_close(result[key], value, rtol, 1e-5, f"{origin} {name}: {key}")


def loaded(path: Path) -> Any:
    return lamina.saving.load_model(path, custom_objects=h5_cases.custom_objects(lamina))


@pytest.mark.parametrize(("origin", "name"), h5_cases.ORIGINS)
def test_file_of_keras_goes_on_here(origin: str, name: str) -> None:
    model = loaded(h5_cases.fixture_path(origin, name))
    check_like(h5_cases.described(model, name), origin, name)


@pytest.mark.parametrize("name", [name for name in h5_cases.MODELS if name != "former"])
def test_own_file_goes_on_as_the_model_would_have(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    h5_cases.trained(lamina, name).save(path)
    check_like(h5_cases.described(loaded(path), name), h5_cases.KERAS_3, name)


@pytest.mark.parametrize("origin", [h5_cases.KERAS_2, h5_cases.KERAS_3])
def test_file_of_keras_can_be_saved_in_both_formats(origin: str, tmp_path: Path) -> None:
    model = loaded(h5_cases.fixture_path(origin, "outputs"))
    for end in ("h5", "keras"):
        model.save(tmp_path / f"m.{end}")
        again = loaded(tmp_path / f"m.{end}")
        check_like(h5_cases.described(again, "outputs"), origin, "outputs")


@pytest.mark.skipif(REAL_KERAS is None, reason="LAMINA_REAL_KERAS names no Python with Keras")
def test_real_keras_reads_our_files(tmp_path: Path) -> None:
    expected = {}
    for name in h5_cases.READ_BY_KERAS_3:
        lamina.utils.clear_session()
        model = h5_cases.trained(lamina, name)
        model.save(tmp_path / f"{name}.h5")
        expected[name] = h5_cases.predictions(model, name)
    script = ROOT / "tests" / "golden" / "make_files.py"
    program = [str(REAL_KERAS), script, "read", h5_cases.KERAS_3, tmp_path]
    subprocess.run(program, check=True, env={"KERAS_BACKEND": "torch", **os.environ})
    for name, value in expected.items():
        with np.load(tmp_path / f"{name}.npz") as result:
            check_close(result["predictions"], value, 1e-4, 1e-5, name)


@pytest.mark.skipif(REAL_KERAS_2 is None, reason="LAMINA_REAL_KERAS_2 names no Python with it")
def test_fresh_files_of_real_keras_2_go_on_here(tmp_path: Path) -> None:
    code = f"""if True:
        import sys; sys.path.insert(0, {str(ROOT)!r})
        import tf_keras, numpy
        from tests.golden import h5_cases
        for name in h5_cases.MODELS:
            tf_keras.backend.clear_session()
            model = h5_cases.trained(tf_keras, name)
            model.save({str(tmp_path)!r} + f"/{{name}}.h5")
            numpy.savez({str(tmp_path)!r} + f"/{{name}}.npz", **h5_cases.described(model, name))
    """
    subprocess.run([str(REAL_KERAS_2), "-c", code], check=True)
    for name in h5_cases.MODELS:
        result = h5_cases.described(loaded(tmp_path / f"{name}.h5"), name)
        with np.load(tmp_path / f"{name}.npz") as expected:
            for key in expected.files:
                check_close(result[key], expected[key], 1e-3, 1e-5, f"{name}: {key}")


def test_compile_config_and_names_of_metrics_travel() -> None:
    model = loaded(h5_cases.fixture_path(h5_cases.KERAS_2, "outputs"))
    x, y = h5_cases.data("outputs")
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert {"loss", "a_mae", "b_squared"} <= set(results)
    assert model.optimizer.iterations.numpy() == 2
    assert not model.get_layer("block").layers[0].trainable


def test_compile_false_and_no_training_config(tmp_path: Path) -> None:
    path = h5_cases.fixture_path(h5_cases.KERAS_2, "dense")
    assert not lamina.saving.load_model(path, compile=False).compiled
    model = lamina.saving.load_model(path)
    model.save(tmp_path / "m.h5", include_optimizer=False)
    with pytest.warns(UserWarning, match="how the model was compiled"):
        again = lamina.saving.load_model(tmp_path / "m.h5")
    assert not again.compiled


def test_saving_warns_of_the_older_format(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"\.keras"):
        small().save(tmp_path / "m.hdf5")
    assert lamina.saving.load_model(tmp_path / "m.hdf5", compile=False).built


def small(units: int = 2, names: tuple[str, str] = ("one", "two")) -> Any:
    k = lamina.layers
    layers = [lamina.Input((3,)), k.Dense(4, name=names[0]), k.Dense(units, name=names[1])]
    return lamina.Sequential(layers)


def kernels(model: Any) -> list[np.ndarray]:
    return [layer.kernel.numpy() for layer in model.layers]


def test_weights_in_order_and_by_name(tmp_path: Path) -> None:
    path, model = tmp_path / "m.h5", small()
    model.save(path)
    by_order = small(names=("x", "y"))
    by_order.load_weights(path)
    np.testing.assert_array_equal(kernels(by_order)[1], kernels(model)[1])
    by_name = small(names=("one", "y"))
    before = kernels(by_name)
    by_name.load_weights(path, by_name=True)
    np.testing.assert_array_equal(kernels(by_name)[0], kernels(model)[0])
    np.testing.assert_array_equal(kernels(by_name)[1], before[1])


def test_weights_of_keras_2_alone(tmp_path: Path) -> None:
    """Keras 2's save_weights wrote the groups of layers at the top of the file."""
    path, model = tmp_path / "w.h5", small()
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as whole, h5py.File(path, "w") as file:
        for name in whole["model_weights"]:
            whole.copy(f"model_weights/{name}", file)
        file.attrs.update(whole["model_weights"].attrs)
    other = small()
    other.load_weights(path)
    np.testing.assert_array_equal(kernels(other)[0], kernels(model)[0])


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    small(5).save(path)
    model = small()
    before = kernels(model)
    with pytest.raises(ValueError, match=r"m\.h5.*Shape mismatch.*two.*\(4, 2\).*\(4, 5\)"):
        model.load_weights(path)
    np.testing.assert_array_equal(kernels(model)[0], before[0])
    with pytest.warns(UserWarning, match="two"):
        model.load_weights(path, skip_mismatch=True)
    assert not np.array_equal(kernels(model)[0], before[0])
    with pytest.raises(ValueError, match="Layer count"):
        lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(4)]).load_weights(path)


def test_arguments_of_other_formats(tmp_path: Path) -> None:
    model = small()
    model.save(tmp_path / "m.h5")
    model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="by_name"):
        model.load_weights(tmp_path / "m.keras", by_name=True)
    with pytest.raises(ValueError, match="objects_to_skip"):
        model.load_weights(tmp_path / "m.h5", objects_to_skip=[])
    with pytest.raises(ValueError, match="exists"):
        model.save(tmp_path / "m.h5", overwrite=False)


def test_long_lists_of_names_are_split(tmp_path: Path, monkeypatch: Any) -> None:
    from lamina.saving import legacy_weights

    monkeypatch.setattr(legacy_weights, "_GREATEST_ATTRIBUTE", 16)
    model, other = small(), small()
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert {"layer_names0", "layer_names1"} <= set(file["model_weights"].attrs)
    other.load_weights(tmp_path / "m.h5")
    np.testing.assert_array_equal(kernels(other)[1], kernels(model)[1])


def test_lambda_of_keras_2_gets_its_function_by_the_layers_name(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    small().save(path)
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        settings = {"name": "double", "function": ["4wEAAAA=", None, None], "arguments": {},
                    "function_type": "lambda", "output_shape": None,
                    "output_shape_type": "raw"}  # fmt: skip
        config["config"]["layers"].append({"class_name": "Lambda", "config": settings})
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
    with pytest.raises(ValueError, match=r"m\.h5.*double.*custom_objects"):
        lamina.saving.load_model(path, compile=False)
    objects = {"double": lambda x: 2.0 * x}
    model = lamina.saving.load_model(path, custom_objects=objects, compile=False)
    assert len(model.layers) == 3


def test_former_arguments_and_forms() -> None:
    """A stack without an InputLayer, as the first versions of Keras 2 wrote it."""
    from lamina.saving.legacy_config import present_config

    dense = {"name": "d", "units": 2, "batch_input_shape": [None, 3], "dtype": "float32"}
    leaky = {"name": "l", "alpha": 0.25}
    norm = {"name": "n", "axis": [1]}
    layers = [{"class_name": "Dense", "config": dense},
              {"class_name": "LeakyReLU", "config": leaky},
              {"class_name": "BatchNormalization", "config": norm}]  # fmt: skip
    form = present_config({"class_name": "Sequential", "config": layers}, is_keras_2=True)
    model = lamina.saving.deserialize_keras_object(form)
    assert model.input_shape == (None, 3)
    assert model.layers[1].negative_slope == 0.25
    assert model.layers[2].axis == 1
    lstm = {"class_name": "LSTM", "config": {"name": "r", "units": 2, "time_major": True}}
    with pytest.raises(ValueError, match="time_major"):
        present_config({"class_name": "Sequential", "config": [lstm]}, is_keras_2=True)


def test_checkpoints_in_the_older_format(tmp_path: Path) -> None:
    model = small()
    model.compile("sgd", "mse")
    x, y = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")
    callback = lamina.callbacks.ModelCheckpoint(tmp_path / "{epoch}.h5")
    model.fit(x, y, epochs=2, verbose=0, callbacks=[callback])
    last = lamina.saving.load_model(tmp_path / "2.h5")
    np.testing.assert_array_equal(kernels(last)[0], kernels(model)[0])


def test_older_form_of_single_objects() -> None:
    legacy = lamina.legacy.saving
    form = legacy.serialize_keras_object(lamina.layers.Dense(3, name="d"))
    assert form["class_name"] == "Dense" and set(form) == {"class_name", "config"}
    again = legacy.deserialize_keras_object(form, module_objects=vars(lamina.layers))
    assert again.units == 3 and again.name == "d"
    assert legacy.serialize_keras_object(lamina.activations.relu) == "relu"
    assert legacy.deserialize_keras_object("relu") is lamina.activations.relu
    assert legacy.serialize_keras_object(None) is None
    with pytest.raises(ValueError, match="Unknown layer.*Denze"):
        lamina.utils.legacy.deserialize_keras_object(
            {"class_name": "Denze", "config": {}}, vars(lamina.layers), None, "layer"
        )
