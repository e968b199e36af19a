"""Groups of EPIC-KITCHENS' noun classes that are handled alike."""


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


HAND = _keys("hand")
DOORS = _keys("cupboard fridge oven dishwasher freezer microwave machine:washing window door:kitchen backpack")
DRAWERS = _keys("drawer")
BINS = _keys("bin")
#: What is opened before something is put in or taken out.
STORAGE = DOORS | DRAWERS | BINS
TAPS = _keys("tap")
HEATERS = _keys(
    "hob oven kettle heat toaster microwave heater maker:coffee cooker:slow machine:sous:vide lighter candle"
)
#: Built in or too heavy: worked at, never carried.
FIXED = (
    STORAGE
    | TAPS
    | _keys(
        "hob top sink kitchen floor wall shelf heat light fan:extractor airer tv button knob power chair ladder air"
    )
)
#: What things lie on rather than in.
SURFACES = _keys(
    "plate top board:chopping hob floor chair wall shelf rack:drying stand mat mat:sushi scale tray window ladder"
    " bread pizza burger cake pancake hand napkin paper foil towel towel:kitchen cloth cover lid whetstone knife fork"
    " spatula airer handle book"
)
LIDS = _keys("lid cover cap cork")
CAPPED = _keys("bottle liquid:washing oil vinegar milk")
LIDDED = _keys(
    "jar container can box sauce spice salt sugar coffee tea powder teapot yoghurt spreads pot pan cooker:slow"
    " butter cream tablet powder:washing maker:coffee blender processor:food kettle cellar:salt"
)
PACKAGES = _keys("bag package wrap wrap:plastic paper foil cereal pasta rice flour crisp napkin basket")
WEARABLES = _keys("glove apron clothes watch guard:hand backpack")
VESSELS = _keys(
    "bowl pan pot glass cup jug bottle kettle can jar box container package bag tray sink teapot colander plate"
    " dishwasher machine:washing bin basket maker:coffee blender processor:food cooker:slow pan:dust filter lid"
)
#: What stays unless it is poured: drained, drunk, spooned.
LIQUIDS = _keys(
    "water oil milk coffee tea juice wine drink cocktail beer gin soda whiskey vinegar sauce stock liquid cream syrup"
    " soup liquid:washing extract:vanilla"
)
SPREADS = _keys("butter spreads hummus cheese paste chocolate cream yoghurt sauce mixture syrup avocado")
CROCKERY = _keys("plate bowl glass cup jug spoon knife fork cutlery pan pot tray lid colander board:chopping spatula")
FRESH = _keys(
    "onion potato pepper carrot tomato garlic mushroom leaf aubergine cucumber courgette vegetable broccoli squash leek"
    " lettuce corn onion:spring choi:pak bean:green pea spinach kale asparagus stalk bean finger:lady celery cabbage"
    " artichoke sprout gherkin peach olive lemon banana lime orange avocado blueberry apple grape mango kiwi blackberry"
    " pear strawberry fruit cherry melon pineapple raspberry plum rice lentil pasta noodle chicken meat fish shrimp"
    " salmon parsley coriander basil mint ginger chilli thyme rosemary grass:lemon salad egg"
)
CLOTHS = _keys("sponge cloth towel towel:kitchen clothes napkin brush mat:sushi rubber paper")
#: Peeled with fingers.
BARE_PEELED = _keys("onion garlic banana orange egg peach lemon lime avocado shrimp artichoke leek onion:spring corn")
DOUGHS = _keys("dough pizza pie bread pancake cake biscuit roll dumpling paste burger mixture cheese")
FLOORS = _keys("floor kitchen")
TOOLS = _keys(
    "spoon knife fork spatula whisk ladle tongs scissors peeler:potato grater masher brush sponge cloth towel"
    " towel:kitchen slicer cutter:pizza presser juicer pin:rolling chopstick colander filter funnel pestle utensil"
    " opener:bottle whetstone thermometer lighter hoover napkin paper cutlery straw processor:food blender"
)
HOUSEHOLD = FIXED | CROCKERY | CLOTHS | TOOLS | VESSELS
