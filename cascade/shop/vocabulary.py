"""The words of the demo marketplace, as tables that `lexicon.py` turns into arrays.

Every concept is a line of its forms, separated by commas; forms of one concept mean the same
thing. A form may stand in several concepts' phrases ("cotton" in "organic cotton"), as in life.
"""

# "=" opens a department, "-" a category. A product type is
# forms; material groups; median price; weight of the type in the shop.
TYPES = """
= jewelry, jewellery
- necklaces, neckwear
necklace, pendant; gem; 42; 6
choker, collar necklace; gem; 28; 2
locket, keepsake necklace; gem; 55; 1
- earrings, ear jewelry
stud earrings, ear studs; gem; 24; 4
hoop earrings, hoops; gem; 30; 3
ear cuff, ear climber; gem; 19; 1
- rings, finger rings
ring, ring band; gem; 48; 5
signet ring, seal ring; gem; 85; 1
- bracelets, wrist wear
bracelet, bangle; gem leather; 27; 4
anklet, ankle bracelet; gem; 18; 1
- jewelry storage, jewelry organizers
jewelry box, trinket box; wood leather; 46; 1
ring dish, ring holder; clay; 17; 1
earring holder, earring stand; wood metal; 23; 1
= clothing, apparel
- tops, upper wear
t-shirt, tee; fabric; 22; 5
hoodie, hooded sweatshirt; fabric; 44; 3
sweater, jumper, pullover; fabric; 58; 3
- dresses, womenswear
dress, gown; fabric; 72; 4
skirt, midi skirt; fabric; 45; 2
kimono, dressing gown; fabric; 64; 1
- hats and scarves, winter accessories
beanie, knit hat; fabric; 24; 2
scarf, shawl; fabric; 33; 3
gloves, mittens; fabric leather; 27; 1
- shoes, footwear
sneakers, trainers; leather; 78; 2
slippers, house shoes; fabric leather; 36; 1
sandals, flip flops; leather; 47; 1
- baby clothes, infant wear
onesie, bodysuit, romper; fabric; 19; 2
bib, dribble bib; fabric; 11; 1
= bags, bags and accessories
- handbags, carry bags
tote bag, shopper bag; fabric leather; 31; 4
backpack, rucksack; leather fabric; 74; 2
handbag, purse; leather; 92; 3
- small accessories, everyday carry
wallet, billfold; leather; 41; 3
keychain, key ring, key fob; leather metal; 13; 3
passport cover, passport holder; leather; 28; 1
watch strap, watch band; leather metal; 34; 1
- tech accessories, device accessories
phone case, phone cover; leather wood; 24; 3
laptop sleeve, laptop case; leather fabric; 43; 1
= home decor, home decoration
- lighting, home lighting
table lamp, desk light; metal wood clay; 82; 2
lamp shade, light shade; fabric metal; 39; 1
string lights, fairy lights; metal; 26; 1
- candles, home fragrance
candle, scented candle; wax; 21; 5
candle holder, candlestick; metal clay wood; 27; 2
wax melts, wax tarts; wax; 9; 1
- home textiles, soft furnishings
throw pillow, cushion; fabric; 34; 3
blanket, bed throw; fabric; 68; 2
quilt, bedspread; fabric; 140; 1
rug, carpet; fabric; 165; 2
curtains, drapes; fabric; 76; 1
- wall decor, wall hangings
art print, poster; paper; 25; 6
mirror, looking glass; metal wood; 110; 1
tapestry, woven hanging; fabric; 52; 1
wall clock, timepiece; wood metal; 57; 1
- furniture, home furniture
coffee table, low table; wood metal; 320; 1
bookcase, bookshelf; wood; 240; 1
plant stand, plant shelf; wood metal; 61; 1
= kitchen, kitchenware
- drinkware, cups and glasses
mug, coffee cup; clay; 22; 5
wine glass, goblet; clay; 26; 1
teapot, tea kettle; clay metal; 54; 1
- tableware, serving ware
bowl, serving bowl; clay wood; 36; 2
cutting board, chopping board; wood; 47; 2
cake stand, cake pedestal; clay wood; 52; 1
coasters, drink mats; wood leather clay; 19; 1
- kitchen linen, table linen
apron, pinafore; fabric; 32; 1
tea towel, dish towel; fabric; 14; 2
= stationery, paper goods
- notebooks, writing books
notebook, journal; paper leather; 23; 3
planner, agenda; paper leather; 29; 1
- cards, paper cards
greeting card, note card; paper; 6; 4
invitation, invite; paper; 16; 2
bookmark, page marker; paper leather; 8; 1
sticker, decal; paper; 5; 3
= toys, toys and games
- soft toys, cuddly toys
stuffed animal, plush toy; fabric; 29; 2
rag doll, cloth doll; fabric; 38; 1
- games, family games
jigsaw puzzle, puzzle; wood paper; 31; 1
building blocks, stacking blocks; wood; 35; 1
baby mobile, crib mobile; fabric wood; 49; 1
= pet supplies, pet accessories
- dog and cat, pet gear
dog collar, pet collar; leather fabric; 22; 2
dog bed, pet bed; fabric; 79; 1
leash, dog lead; leather fabric; 27; 1
= craft supplies, craft materials
- sewing and knitting, needlework
yarn, knitting wool; fabric; 15; 2
yarn bowl, wool bowl; clay wood; 38; 1
embroidery kit, stitching kit; fabric; 28; 1
beads, jewelry beads; gem; 9; 2
= garden, garden and outdoor
- planters, pots
planter, flower pot, plant pot; clay wood; 33; 3
wind chime, garden chime; metal; 37; 1
garden sign, yard sign; metal wood; 42; 1
= bath and beauty, self care
- bath, bath products
soap, soap bar; bath; 8; 3
bath bomb, fizzy bath ball; bath; 7; 1
lip balm, lip butter; bath; 6; 1
- hair accessories, hairwear
hair clip, barrette; metal leather; 12; 2
scrunchie, hair tie; fabric; 7; 1
"""

# group: the materials that its product types are made of, the common ones first.
MATERIALS = """
gem: sterling silver, 925 silver | gold filled, gold vermeil | brass | rose gold | pearl | \
stainless steel, surgical steel | moonstone | amethyst | copper | quartz, crystal | opal | jade
fabric: cotton | linen, flax | wool | organic cotton | velvet | silk, mulberry silk | fleece | \
denim | bamboo | cashmere | hemp | felt
leather: leather, cowhide | vegan leather, faux leather | canvas | suede | waxed canvas | cork
wood: oak | walnut | pine | bamboo | maple | reclaimed wood, salvaged timber | teak | birch
clay: ceramic, pottery | stoneware | glass | porcelain, bone china | terracotta, earthenware | \
enamel | marble | concrete, cement
metal: brass | stainless steel, surgical steel | iron, wrought iron | copper | \
aluminium, aluminum | pewter
wax: soy wax, soya wax | beeswax | coconut wax | paraffin wax
paper: paper | recycled paper | cardstock, heavyweight card | kraft paper | vinyl
bath: shea butter | olive oil | oatmeal, oat | goat milk | activated charcoal | coconut oil
"""

ATTRIBUTES = {
    "colour": """
black | white | grey, gray | red | blue | navy, dark blue | green | olive, khaki | yellow |
mustard, ochre | orange | pink | blush, pale pink | purple, violet | brown, chocolate |
beige, tan | cream, ivory | turquoise, teal | burgundy, maroon | rainbow, multicolor |
lilac, lavender | rust, burnt orange | sage, grey green | gold tone
""",
    "style": """
minimalist, simple | vintage, retro | rustic, farmhouse | boho, bohemian |
modern, contemporary | gothic, goth | art deco | mid century | victorian |
scandinavian, nordic | industrial | coastal, seaside | cottagecore | kawaii, cute |
elegant, classy | chunky | dainty, delicate | geometric | abstract |
personalized, custom | engraved, etched | oversized | tiny, mini | handwoven |
hand painted | traditional, classic
""",
    "motif": """
floral, flower | celestial, starry | moon, lunar | butterfly | bee, bumblebee | cat, kitten |
dog, puppy | bird | owl | fox | dragon | skull | heart | leaf, foliage | mushroom, toadstool |
mountain, alpine | ocean, sea wave | tree of life | woodland, forest | sunflower | daisy |
cactus, succulent | dinosaur | unicorn | horse, pony | snake, serpent | zodiac, astrology |
evil eye | feather | anchor, nautical | bicycle, bike | strawberry | lemon | rose |
map, cartography | striped, stripes | polka dot, dotted | checkered, gingham
""",
    "occasion": """
wedding, bridal | birthday, bday | christmas, xmas | anniversary | valentines day |
mothers day | fathers day | graduation, grad | baby shower | halloween, spooky season |
easter | housewarming, new home | engagement | retirement | bachelorette, hen party
""",
    "recipient": """
mom, mum, mother | dad, father | grandma, nana | grandpa, grandad | wife | husband |
girlfriend | boyfriend | bridesmaid, maid of honor | groomsman, best man | teacher |
kids, children | baby, newborn | men, him | women, her | best friend, bff | sister | nurse |
coworker, colleague
""",
    "price": """
cheap, affordable, budget | luxury, high end
""",
}
