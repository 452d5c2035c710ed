"""Sentences and shop names of the demo marketplace."""

# Words that stand in a sentence where a listing has no such attribute.
FALLBACKS = {
    "type": "piece",
    "material": "carefully chosen",
    "colour": "natural",
    "style": "lovely",
    "motif": "quiet",
    "occasion": "everyday",
    "recipient": "favourite person",
    "other": "other work",
    "colour2": "several shades",
}

INTRO = (
    "This {style} {type} is made by hand in a small studio.",
    "A {material} {type} with a character of its own.",
    "Meet the {type} that our customers keep coming back for.",
    "Every {type} is cut, finished and checked by one person using {material} we know well.",
    "A {colour} {type} that looks right in any light.",
    "We designed this {type} for people who like {style} things.",
    "Here is a {type} that took us three years and many sketches to get right.",
    "Simple lines and honest {material} make this {type} a pleasure to use.",
)

DETAIL = (
    "The {motif} detail is added last, so no two pieces look quite the same.",
    "The shade of this {type} is {colour}, and small differences are part of the process.",
    "Made from {material} that ages well with use.",
    "A {motif} pattern on {colour} stands out without shouting.",
    "The {style} look of the {type} suits old houses and new ones alike.",
    "You will notice the {material} first and the {motif} touch later.",
    "The {type} is {colour} all over and feels smooth in the hand.",
    "We keep the {motif} theme small, the way our grandparents did.",
)

GIFT = (
    "It makes a thoughtful {occasion} present for your {recipient}.",
    "The {type} comes in a small box, ready to hand to your {recipient}.",
    "A {type} is a good idea for {occasion} tables, or for no reason at all.",
    "Many people order it for a {recipient} who already has everything.",
    "Ask us to add a card if the {type} is a {occasion} surprise.",
    "Your {recipient} will find a new place for it every week.",
)

# Sentences that name things which the listing is not.
TRAP = (
    "Pairs well with our {other}, sold separately.",
    "Also offered in {colour2}; write to us before you order.",
    "Looks lovely next to a {other} in {colour2}.",
    "Please note that the {other} in the photo is not included.",
    "If you need a {other} instead, visit the other section of the shop.",
    "We can swap the finish for {colour2} on request.",
)

SERVICE = (
    "Ships within two working days in plastic free packaging.",
    "Wipe clean with a soft damp cloth and keep away from direct heat.",
    "Please read the size chart before you order.",
    "Returns are accepted within thirty days of delivery.",
    "Orders above the free shipping limit travel with a tracking number.",
    "We answer every message on the same day.",
    "The photos were taken in daylight without any filter.",
    "Weekend orders leave the workshop on Monday morning.",
    "Each order plants a tree with our partner organisation.",
    "Let us know if anything arrives damaged and we will replace it.",
    "International buyers may have to pay local customs fees.",
    "Measurements are approximate and may vary by a few millimetres.",
)

SHOP_FIRST = (
    "Amber Birch Bramble Cedar Clover Copper Coral Cosmic Crescent Dawn Dusk Ember Fable Fern "
    "Gilded Golden Hazel Honey Indigo Iron Ivy Juniper Kindred Linden Little Lunar Marigold "
    "Meadow Midnight Misty Moss Nettle North Old Pebble Pine Quiet Raven River Saffron Salt "
    "Silver Sparrow Stone Sunday Tall Thistle Tidal Velvet Wandering Wild Willow Winter Wren"
)
SHOP_SECOND = (
    "Acorn Anchor Arrow Attic Barn Bee Bloom Brook Button Compass Cottage Crow Den Elm Feather "
    "Field Finch Forge Fox Grove Harbor Hare Hearth Hill House Lantern Lark Leaf Loom Maple Moth "
    "Needle Nest Oak Orchard Otter Owl Petal Porch Quill Rook Root Spindle Spoon Thread Thimble "
    "Trail Wharf Whistle Wolf"
)
SHOP_LAST = ("Studio", "Goods", "Workshop", "Co", "Atelier", "Makers", "Supply", "Collective")
