"""Palettes that `--labels` knows by name: the classes of published datasets, with their values and colours.

Sources: Cityscapes, https://github.com/mcordts/cityscapesScripts (cityscapesscripts/helpers/labels.py); Pascal VOC, the
VOCdevkit (VOCinit.m, VOClabelcolormap.m); CamVid, label_colors.txt of
http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/; ADE20K, https://github.com/CSAILVision/sceneparsing
(objectInfo150.txt, the first of each class's names), whose colours are those of color150.mat as
https://github.com/open-mmlab/mmsegmentation (mmseg/datasets/ade.py) has them.
"""

from __future__ import annotations

from typing import NamedTuple

from labelferry.reading.label_colours import VOC_BOUNDARY, VOC_CLASSES, Colour, voc_colour

_CITYSCAPES = (
    "000000 unlabeled|000000 ego vehicle|000000 rectification border|000000 out of roi|000000 static|"
    "6f4a00 dynamic|510051 ground|804080 road|f423e8 sidewalk|faaaa0 parking|e6968c rail track|464646 building|"
    "66669c wall|be9999 fence|b4a5b4 guard rail|966464 bridge|96785a tunnel|999999 pole|999999 polegroup|"
    "faaa1e traffic light|dcdc00 traffic sign|6b8e23 vegetation|98fb98 terrain|4682b4 sky|dc143c person|"
    "ff0000 rider|00008e car|000046 truck|003c64 bus|00005a caravan|00006e trailer|005064 train|0000e6 motorcycle|"
    "770b20 bicycle|00008e license plate"
)

_CAMVID = (
    "408040 Animal|c00080 Archway|0080c0 Bicyclist|008040 Bridge|800000 Building|400080 Car|"
    "4000c0 CartLuggagePram|c08040 Child|c0c080 Column_Pole|404080 Fence|8000c0 LaneMkgsDriv|"
    "c00040 LaneMkgsNonDriv|808040 Misc_Text|c000c0 MotorcycleScooter|804040 OtherMoving|40c080 ParkingBlock|"
    "404000 Pedestrian|804080 Road|8080c0 RoadShoulder|0000c0 Sidewalk|c08080 SignSymbol|808080 Sky|"
    "4080c0 SUVPickupTruck|000040 TrafficCone|004040 TrafficLight|c04080 Train|808000 Tree|c080c0 Truck_Bus|"
    "400040 Tunnel|c0c000 VegetationMisc|000000 Void|40c000 Wall"
)

_ADE20K = (
    "787878 wall|b47878 building|06e6e6 sky|503232 floor|04c803 tree|787850 ceiling|8c8c8c road|cc05ff bed|"
    "e6e6e6 windowpane|04fa07 grass|e005ff cabinet|ebff07 sidewalk|96053d person|787846 earth|08ff33 door|"
    "ff0652 table|8fff8c mountain|ccff04 plant|ff3307 curtain|cc4603 chair|0066c8 car|3de6fa water|"
    "ff0633 painting|0b66ff sofa|ff0747 shelf|ff09e0 house|0907e6 sea|dcdcdc mirror|ff095c rug|7009ff field|"
    "08ffd6 armchair|07ffe0 seat|ffb806 fence|0aff47 desk|ff290a rock|07ffff wardrobe|e0ff08 lamp|6608ff bathtub|"
    "ff3d06 railing|ffc207 cushion|ff7a08 base|00ff14 box|ff0829 column|ff0599 signboard|0633ff chest of drawers|"
    "eb0cff counter|a09614 sand|00a3ff sink|8c8c8c skyscraper|fa0a0f fireplace|14ff00 refrigerator|"
    "1fff00 grandstand|ff1f00 path|ffe000 stairs|99ff00 runway|0000ff case|ff4700 pool table|00ebff pillow|"
    "00adff screen door|1f00ff stairway|0bc8c8 river|ff5200 bridge|00fff5 bookcase|003dff blind|"
    "00ff70 coffee table|00ff85 toilet|ff0000 flower|ffa300 book|ff6600 hill|c2ff00 bench|008fff countertop|"
    "33ff00 stove|0052ff palm|00ff29 kitchen island|00ffad computer|0a00ff swivel chair|adff00 boat|00ff99 bar|"
    "ff5c00 arcade machine|ff00ff hovel|ff00f5 bus|ff0066 towel|ffad00 light|ff0014 truck|ffb8b8 tower|"
    "001fff chandelier|00ff3d awning|0047ff streetlight|ff00cc booth|00ffc2 television|00ff52 airplane|"
    "000aff dirt track|0070ff apparel|3300ff pole|00c2ff land|007aff bannister|00ffa3 escalator|ff9900 ottoman|"
    "00ff0a bottle|ff7000 buffet|8fff00 poster|5200ff stage|a3ff00 van|ffeb00 ship|08b8aa fountain|"
    "8500ff conveyer belt|00ff5c canopy|b800ff washer|ff001f plaything|00b8ff swimming pool|00d6ff stool|"
    "ff0070 barrel|5cff00 basket|00e0ff waterfall|70e0ff tent|46b8a0 bag|a300ff minibike|9900ff cradle|"
    "47ff00 oven|ff00a3 ball|ffcc00 food|ff008f step|00ffeb tank|85ff00 trade name|ff00eb microwave|f500ff pot|"
    "ff007a animal|fff500 bicycle|0abed4 lake|d6ff00 dishwasher|00ccff screen|1400ff blanket|ffff00 sculpture|"
    "0099ff hood|0029ff sconce|00ffcc vase|2900ff traffic light|29ff00 tray|ad00ff ashcan|00f5ff fan|4700ff pier|"
    "7a00ff crt screen|00ffb8 plate|005cff monitor|b8ff00 bulletin board|0085ff shower|ffd600 radiator|"
    "19c2c2 glass|66ff00 clock|5c00ff flag"
)


class Palette(NamedTuple):
    """What the pixels of label maps may stand for.

    Attributes:
        values: name by value; None: pixels are colours.
        colours: names and colours; None: pixels are values. Classes may share a colour.
        question: why values may stand for other classes than these, and what to say then; empty: they cannot.
        telling: values that occur only if they stand for these classes.
    """

    values: dict[int, str] | None
    colours: list[tuple[str, Colour]] | None
    question: str = ""
    telling: frozenset[int] = frozenset()


def _table(text: str) -> list[tuple[str, Colour]]:
    entries = (entry.split(" ", 1) for entry in text.split("|"))
    return [(name, (int(rgb[:2], 16), int(rgb[2:4], 16), int(rgb[4:], 16))) for rgb, name in entries]


CITYSCAPES = tuple(name for name, _ in _table(_CITYSCAPES)[:-1])
"""Names of the label ids 0 to 33; the license plate, the last one, has none."""

CITYSCAPES_TRAINING = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
"""Names of the training ids 0 to 18."""


def _palettes() -> dict[str, Palette]:
    cityscapes = dict(enumerate(CITYSCAPES))
    ids = (
        "label ids of Cityscapes (0 to 33), or its training ids (0 to 18, and 255)? say --labels cityscapes-label-ids "
    )
    ids += "or --labels cityscapes-train-ids"
    voc = ("background", *VOC_CLASSES)
    ade20k = _table(_ADE20K)
    from_0 = "255 does not occur in ADE20K's annotations, where 0 is no class: if the classes are counted from 0, give "
    from_0 += "their names in a file (--labels); if 255 is no class, say --ignore 255"
    return {
        "cityscapes": Palette(cityscapes, _table(_CITYSCAPES), ids, frozenset(range(19, 34))),
        "cityscapes-label-ids": Palette(cityscapes, None),
        "cityscapes-train-ids": Palette(dict(enumerate(CITYSCAPES_TRAINING)), None),
        "voc": Palette(
            {**dict(enumerate(voc)), 255: "void"},
            [*((name, voc_colour(i)) for i, name in enumerate(voc)), ("void", VOC_BOUNDARY)],
        ),
        "camvid": Palette(None, _table(_CAMVID)),
        "ade20k": Palette({i: name for i, (name, _) in enumerate(ade20k, 1)}, ade20k, from_0),
    }


PALETTES = _palettes()
"""The palettes by the name that `--labels` gives them."""
