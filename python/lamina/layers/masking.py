"""How masks travel: from the inputs into `call`, and on to the outputs."""

from __future__ import annotations

import warnings
from typing import Any

from lamina import structure, tracing
from lamina.layers.conversion import mask_of
from lamina.layers.signature import CallSignature
from lamina.tensor import KerasTensor, Tensor


class MaskPassing:
    """The part of a layer that hands masks on."""

    name: str
    supports_masking: bool

    @staticmethod
    def _fill_masks(call: CallSignature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Pass the masks that the inputs carry to the mask arguments left open."""
        given = call.named(args, kwargs)
        for argument, mask_argument in call.mask_of.items():
            if given.get(mask_argument) is None and argument in given:
                masks = structure.map_structure(mask_of, given[argument])
                if any(mask is not None for mask in structure.iterate(masks)):
                    if mask_argument in call.names[: len(args)]:
                        continue
                    kwargs[mask_argument] = masks

    @staticmethod
    def _masks_of(
        call: CallSignature, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The masks of the first argument: given by the caller, else carried by it."""
        name = call.first_mask
        if name is not None:
            explicit = kwargs.get(name)
            if explicit is None and len(args) > call.first_mask_position:
                explicit = args[call.first_mask_position]
            if explicit is not None:
                return explicit
        if isinstance(inputs, Tensor):
            return inputs.mask
        return structure.map_structure(mask_of, inputs)

    def _pass_mask(self, inputs: Any, masks: Any, outputs: Any) -> None:
        """Set the mask of the outputs from the masks of the first argument."""
        if type(self).compute_mask is MaskPassing.compute_mask:
            if masks is None or all(mask is None for mask in structure.iterate(masks)):
                return
        if not self.supports_masking:
            if any(mask is not None for mask in structure.iterate(masks)):
                warnings.warn(
                    f"Layer {self.name!r} ({type(self).__name__}) does not support masking: the "
                    "mask of its input ends here.",
                    stacklevel=2,
                )
            return
        tensors = [leaf for leaf in structure.iterate(outputs) if isinstance(leaf, Tensor)]
        if all(tensor.mask is not None for tensor in tensors):
            return
        output_masks = self.compute_mask(inputs, masks)
        for tensor, mask in zip(tensors, structure.iterate(output_masks), strict=False):
            if mask is not None and tensor.mask is None:
                tensor.mask = mask

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Return the mask of the output; the input's mask unless a subclass says otherwise."""
        del inputs
        return previous_mask

    def _pass_symbolic_mask(self, inputs: Any, outputs: Any) -> None:
        """Give symbolic outputs whose shape came from a rule the masks that `call` would give."""
        has_mask = any(
            isinstance(leaf, KerasTensor) and leaf.mask is not None
            for leaf in structure.iterate(inputs)
        )
        default = type(self).compute_mask is MaskPassing.compute_mask
        if not self.supports_masking or (default and not has_mask):
            return

        def masks_of(inputs: Any) -> Any:
            return self.compute_mask(inputs, structure.map_structure(mask_of, inputs))

        masks = structure.iterate(tracing.infer_outputs(masks_of, inputs))
        for place, mask in zip(structure.iterate(outputs), masks, strict=False):
            if isinstance(place, KerasTensor) and isinstance(mask, KerasTensor):
                place.mask = mask
