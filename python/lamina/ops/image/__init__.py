"""`lamina.ops.image`: images resized, warped, filtered, recoloured, cut up."""

from __future__ import annotations

from lamina.ops.image.colors import hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv
from lamina.ops.image.filters import gaussian_blur, sobel_edges, ssim
from lamina.ops.image.margins import crop_images, pad_images
from lamina.ops.image.patches import extract_patches, extract_patches_3d
from lamina.ops.image.resizing import resize, scale_and_translate
from lamina.ops.image.sampling import map_coordinates
from lamina.ops.image.warping import affine_transform, elastic_transform, perspective_transform

__all__ = [
    "affine_transform",
    "crop_images",
    "elastic_transform",
    "extract_patches",
    "extract_patches_3d",
    "gaussian_blur",
    "hsv_to_rgb",
    "map_coordinates",
    "pad_images",
    "perspective_transform",
    "resize",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "scale_and_translate",
    "sobel_edges",
    "ssim",
]
