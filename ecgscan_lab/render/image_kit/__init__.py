"""The same call through ecg-image-kit, where the user has a checkout."""

from ecgscan_lab.render.image_kit.adapter import KitPage, draw_page_with_image_kit, image_kit_seconds

__all__ = [
    "KitPage",
    "draw_page_with_image_kit",
    "image_kit_seconds",
]
