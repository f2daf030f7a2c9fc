"""What ultralytics, torchvision, transformers and supervision give: made by models with random weights, recorded in
`clients.json`, and made again of the record where these packages are not installed.

In an environment with torch, torchvision, ultralytics, transformers and supervision, this records them again:

    python -m tests.core.predictions.clients
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image as Picture

PACKAGES = ("torch", "torchvision", "ultralytics", "transformers", "supervision")
RECORD = Path(__file__).with_name("clients.json")
WIDTH, HEIGHT = 64, 45

RESULTS = ("boxes", "obb", "masks", "keypoints", "probs", "semantic_mask", "depth")
"""The parts of Ultralytics' results."""

PARTS = ("data", "xyxy", "conf", "cls", "xyxyxyxy")
"""Attributes of these that are recorded."""

SCALED = [
    ((64, 64), (45, 64)),
    ((96, 160), (97, 161)),
    ((64, 64), (150, 110)),
    ((64, 96), (30, 45)),
    ((64, 64), (128, 128)),
]
"""Sizes (height, width) of a model's input and of the image, of masks that are scaled."""


class Tensor:
    """What labelferry may use of a torch.Tensor: on a device, with a gradient, perhaps of numbers numpy has not."""

    def __init__(self, data: Any, device: str = "cuda", gradient: bool = True, bfloat16: bool = False) -> None:
        self.data = np.asarray(data)
        self.shape = self.data.shape
        self._state = (device, gradient, bfloat16)

    def detach(self) -> Tensor:
        return Tensor(self.data, self._state[0], False, self._state[2])

    def cpu(self) -> Tensor:
        return Tensor(self.data, "cpu", *self._state[1:])

    def float(self) -> Tensor:
        return Tensor(self.data.astype(np.float32), *self._state[:2])

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Any:
        return (Tensor(row, *self._state) for row in self.data)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self._state != ("cpu", False, False):
            raise TypeError(f"cannot be made an array: {self._state}")
        return self.data.astype(dtype) if dtype else self.data


def drawn(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Masks that outlines do not tell: a ring, lines of one pixel, a square of five, a disc, and nothing."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2)
    ring, disc = (distance < height / 4) & (distance > height / 4 - 2), distance < height / 3
    return np.stack(
        (ring, y == height // 2, x == width // 3, (y == x), (abs(y - 20) < 3) & (abs(x - 30) < 3), disc, y < 0)
    ).astype(np.uint8)


def real() -> dict[str, Any]:
    """Results by the packages themselves.

    Raises:
        ImportError: one of them is not installed.
    """
    import torch

    torch.manual_seed(0)
    torch.set_grad_enabled(True)
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    return {
        **_of_ultralytics(pixels),
        **_of_torchvision(torch.from_numpy(pixels).permute(2, 0, 1) / 255),
        **_of_processors(),
        **_of_pipelines(Picture.fromarray(pixels)),
    }


def _of_ultralytics(pixels: Any) -> dict[str, Any]:
    import torch
    from ultralytics import YOLO
    from ultralytics.engine.results import Results
    from ultralytics.utils import ops

    found: dict[str, Any] = {}
    for kind in ("", "-seg", "-pose", "-obb", "-cls"):
        model = YOLO(f"yolov8n{kind}.yaml")
        for name, confidence in (("", 0.0), (" nothing", 1.0)):
            results = model.predict(pixels, conf=confidence, imgsz=64, verbose=False, max_det=2)[0]
            found[f"ultralytics{kind}{name}"] = results
    found["ultralytics-sem"] = YOLO("yolo26n-sem.yaml").predict(pixels, imgsz=64, verbose=False)[0]
    found["ultralytics-depth"] = YOLO("yolo26n-depth.yaml").predict(pixels, imgsz=64, verbose=False)[0]
    for number, (given, wanted) in enumerate(SCALED):
        masks = torch.from_numpy(drawn(*given))
        boxes = torch.tensor([[0, 0, wanted[1], wanted[0], 0.5, 0]]).repeat(len(masks), 1)
        image = np.zeros((*wanted, 3), np.uint8)
        found[f"ultralytics masks {number}"] = Results(image, "a.png", {0: "thing"}, boxes=boxes, masks=masks)
        found[f"scaled masks {number}"] = (ops.scale_masks(masks[None].float(), wanted)[0] > 0.5).byte()
    return found


def _of_torchvision(image: Any) -> dict[str, Any]:
    from torchvision.models import detection

    found = {}
    makers = (detection.fasterrcnn_mobilenet_v3_large_320_fpn, detection.maskrcnn_resnet50_fpn)
    for make in (*makers, detection.keypointrcnn_resnet50_fpn):
        classes = 2 if make is detection.keypointrcnn_resnet50_fpn else 4
        model = make(weights=None, weights_backbone=None, num_classes=classes).eval()
        model.roi_heads.score_thresh, model.roi_heads.detections_per_img = 0.0, 2
        found[f"torchvision {make.__name__.partition('_')[0]}"] = model([image])
    return found


def _of_processors() -> dict[str, Any]:
    import torch
    from transformers import DetrImageProcessor, Mask2FormerImageProcessor
    from transformers.models.detr.modeling_detr import DetrObjectDetectionOutput
    from transformers.models.mask2former.modeling_mask2former import Mask2FormerForUniversalSegmentationOutput

    logits, boxes = torch.randn(1, 4, 4) * 3, torch.rand(1, 4, 4) * 0.4 + 0.2
    outputs: Any = DetrObjectDetectionOutput(logits=logits, pred_boxes=boxes)
    detr, sizes = DetrImageProcessor(), [(HEIGHT, WIDTH)]
    found = {
        "transformers outputs": outputs,
        "transformers detection": detr.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes),
        "transformers relative": detr.post_process_object_detection(outputs, threshold=0.0),
    }
    outputs = Mask2FormerForUniversalSegmentationOutput(
        class_queries_logits=logits, masks_queries_logits=torch.randn(1, 4, 12, 16)
    )
    processor = Mask2FormerImageProcessor()
    instances = processor.post_process_instance_segmentation
    panoptic = processor.post_process_panoptic_segmentation
    semantic = processor.post_process_semantic_segmentation
    found["transformers instances"] = instances(outputs, threshold=0.0, target_sizes=sizes)
    found["transformers maps"] = instances(outputs, threshold=0.0, target_sizes=sizes, return_binary_maps=True)
    found["transformers runs"] = instances(outputs, threshold=0.0, target_sizes=sizes, return_coco_annotation=True)
    found["transformers no instances"] = instances(outputs, threshold=1.1, target_sizes=sizes)
    found["transformers panoptic"] = panoptic(outputs, threshold=0.0, target_sizes=sizes, label_ids_to_fuse=set())
    found["transformers semantic"] = semantic(outputs, target_sizes=sizes)
    return found


def _of_pipelines(image: Any) -> dict[str, Any]:
    import transformers as hf

    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vit = hf.ViTForImageClassification(hf.ViTConfig(**tiny, image_size=32, patch_size=16, num_labels=7))
    yolos = hf.YolosForObjectDetection(
        hf.YolosConfig(**tiny, image_size=[32, 64], patch_size=16, num_detection_tokens=3, num_labels=3)
    )
    names = {0: "cat", 1: "dog", 2: "bird"}
    yolos.config.id2label = names
    mask2former = hf.Mask2FormerForUniversalSegmentation(
        hf.Mask2FormerConfig(
            backbone_config=hf.SwinConfig(
                embed_dim=8,
                depths=[1] * 4,
                num_heads=[1] * 4,
                window_size=4,
                image_size=64,
                out_features=["stage1", "stage2", "stage3", "stage4"],
            ),
            **dict.fromkeys(("feature_size", "mask_feature_size", "hidden_dim", "encoder_feedforward_dim"), 32),
            encoder_layers=1,
            decoder_layers=2,
            num_attention_heads=2,
            dim_feedforward=16,
            num_queries=5,
            id2label=names,
        )
    ).eval()
    classify = hf.pipeline("image-classification", vit.eval(), image_processor=hf.ViTImageProcessor(size=_square(32)))
    detect = hf.pipeline(
        "object-detection",
        yolos.eval(),
        image_processor=hf.YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 64}),
    )
    segment = hf.pipeline(
        "image-segmentation",
        mask2former,
        image_processor=hf.Mask2FormerImageProcessor(size=_square(64), num_labels=3),
    )
    return {
        "pipeline classification": classify(image),
        "pipeline all classes": classify(image, top_k=7),
        "pipeline detection": detect(image, threshold=0.0),
        "pipeline nothing": detect(image, threshold=1.0),
        "pipeline instances": segment(image, subtask="instance", threshold=0.0, mask_threshold=0.0),
        "pipeline semantic": segment(image, subtask="semantic"),
    }


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def to_json(value: Any) -> Any:
    """Plain values of a result."""
    if hasattr(value, "orig_shape") and hasattr(value, "names"):
        parts = {name: getattr(value, name) for name in RESULTS if getattr(value, name) is not None}
        content = {
            name: {attribute: to_json(getattr(part, attribute)) for attribute in PARTS if hasattr(part, attribute)}
            for name, part in parts.items()
        }
        return {"results": content, "orig_shape": list(value.orig_shape), "names": list(value.names.values())}
    if isinstance(value, Mapping):
        return {"dict": {key: to_json(one) for key, one in value.items()}}
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    if isinstance(value, Picture.Image):
        return {"picture": to_json(Tensor(np.asarray(value)))}
    if hasattr(value, "detach"):
        array = np.asarray(value.detach().cpu())
        packed = base64.b64encode(zlib.compress(array.tobytes(), 9)).decode()
        small = array.ravel().tolist() if array.size <= 32 else packed
        return {"tensor": small, "shape": array.shape, "dtype": str(array.dtype)}
    return value.item() if isinstance(value, np.generic) else value


def of_json(value: Any) -> Any:
    """A result of its plain values."""
    if isinstance(value, list):
        return [of_json(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "results" in value:
        content = {
            name: SimpleNamespace(**{attribute: of_json(one) for attribute, one in part.items()})
            for name, part in value["results"].items()
        }
        nothing = dict.fromkeys(RESULTS)
        return SimpleNamespace(
            orig_shape=tuple(value["orig_shape"]), names=dict(enumerate(value["names"])), **{**nothing, **content}
        )
    if "dict" in value:
        return {key: of_json(one) for key, one in value["dict"].items()}
    if "picture" in value:
        return Picture.fromarray(of_json(value["picture"]).data)
    given, kind = value["tensor"], value["dtype"]
    if isinstance(given, str):
        return Tensor(np.frombuffer(zlib.decompress(base64.b64decode(given)), kind).reshape(value["shape"]))
    return Tensor(np.array(given, kind).reshape(value["shape"]))


def recorded() -> dict[str, Any]:
    """The results that are recorded."""
    return {name: of_json(one) for name, one in json.loads(RECORD.read_text())["results"].items()}


if __name__ == "__main__":
    content = {"versions": {name: version(name) for name in PACKAGES}, "results": to_json(real())["dict"]}
    RECORD.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(content["versions"], RECORD.stat().st_size)
