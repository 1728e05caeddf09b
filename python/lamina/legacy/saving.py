"""The older form of configs: `{"class_name", "config"}` without modules.

Source: https://keras.io/api/ `keras.legacy.saving`.
"""

from lamina.saving.legacy_form import deserialize_keras_object, serialize_keras_object

__all__ = ["deserialize_keras_object", "serialize_keras_object"]
