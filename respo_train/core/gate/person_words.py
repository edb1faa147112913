"""English words for people, and words that only look like them, for `decide.py`.

Only common words: professions with a typical suffix (gardener, dentist) are recognised in decide.py and need no entry.
"""

from __future__ import annotations

# A person wherever the word stands, unless a word of THINGS follows ("doctor costume").
PERSONS = """
person; people; human being; somebody; someone; everybody; everyone; anybody; anyone; folk; folks; humanity
mankind; crowd; audience; couple; friend; group of friends; neighbor; neighbour; stranger; passerby; passersby
pedestrian; man; woman; male; female; gentleman; lady; guy; dude; lad; bloke; gal; boy; girl; he; she; him; mother
father; mom; mum; dad; grandmother; grandfather; grandma; grandpa; granny; daughter; son; sister; brother; aunt
uncle; niece; nephew; wife; husband; widow; widower; bride; groom; bridesmaid; girlfriend; boyfriend; king; queen
prince; princess; duke; duchess; emperor; empress; lord; goddess; witch; nun; actress; businessman; businesswoman
fisherman; cowboy; cowgirl; schoolboy; schoolgirl; geisha; maiden; latino; latina; adult; grown-up; child; kid
baby; toddler; infant; newborn; teen; teenager; adolescent; youngster; youth; pupil; elder; senior citizen
pensioner; centenarian; twin; triplet; sibling; parent; grandparent; grandchild; cousin; spouse; fiance; fiancée
relative; orphan; godparent; newlywed; roommate; colleague; coworker; co-worker; classmate; teammate; selfie
headshot; mugshot; passport photo; guest; customer; client; passenger; tourist; traveller; traveler; visitor
citizen; villager; refugee; immigrant; migrant; nomad; hermit; pilgrim; beggar; homeless; doctor; nurse; physician
surgeon; dentist; therapist; psychologist; psychiatrist; paramedic; medic; midwife; pharmacist; attendant; cashier
teacher; assistant; secretary; receptionist; clerk; counselor; counsellor; designer; hairdresser; writer
housekeeper; baker; librarian; tailor; supervisor; janitor; laborer; labourer; construction worker; developer
carpenter; manager; lawyer; farmer; salesperson; analyst; mechanic; sheriff; ceo; cto; cfo; executive
chief executive; police officer; officer; firefighter; soldier; sailor; veteran; sergeant; lieutenant; colonel
admiral; detective; spy; secret agent; real estate agent; travel agent; thief; pirate; bandit; criminal; prisoner
inmate; engineer; programmer; architect; accountant; banker; economist; consultant; entrepreneur; freelancer
intern; trainee; apprentice; employee; employer; boss; staff member; crew member; professor; tutor; lecturer
academic; scholar; researcher; chemist; physicist; biologist; astronaut; cosmonaut; astronomer; mathematician
statistician; historian; philosopher; musician; singer; drummer; guitarist; pianist; violinist; cellist; rapper; dj
dancer; ballerina; acrobat; clown; mime; comedian; magician; juggler; poet; novelist; journalist; reporter; barista
bartender; chef; sommelier; butcher; barber; beautician; makeup stylist; masseur; plumber; electrician; bricklayer
blacksmith; goldsmith; silversmith; locksmith; miner; lumberjack; logger; shepherd; goatherd; gardener; florist
beekeeper; vet; veterinarian; zookeeper; athlete; gymnast; boxer; wrestler; referee; umpire; lifeguard; jockey
cyclist; skier; surfer; climber; jogger; hiker; swimmer; goalkeeper; quarterback; mountaineer; biker; astrologer
fortune teller; monk; priest; pastor; rabbi; imam; bishop; pope; saint; prophet; missionary; knight; samurai; ninja
viking; gladiator; peasant; noble; royalty; president; prime minister; mayor; politician; diplomat; ambassador
senator; chancellor; bureaucrat; civil servant; activist; protester; hippie; punk; nerd; geek; cosplayer
influencer; celebrity; superstar; dictator; wizard; sorcerer; doorkeeper; courier; shopkeeper; vendor
delivery driver; taxi driver; bus driver; truck driver; bodyguard; security guard; flight attendant; air hostess
steward; concierge; porter; butler; maid; maître d; maitre d; nanny; babysitter; caregiver; social worker
"""

# A person only where a noun can end: "a guard in a tower", not "a guard rail"; "two cooks", not "to cook".
NOUNS = """
human; police; cook; guard; judge; model; guide; host; coach; pilot; conductor; captain; driver; chief
general; major; private; patient; student; team; band; choir; orchestra; army; crew; family; staff; troop; public
folk; agent; critic; cadet; ranger; scout; rebel; mate; partner; lover; enemy; hero; heroine; idol; suspect
witness; victim; character; figure; fan; individual; resident; native; expert; professional; amateur; beginner
specialist; representative; volunteer; member; candidate; participant; contestant; winner; champion; runner-up
rider; runner; recruit; commander; leader; follower; regent; monarch; aristocrat; servant; slave; master; trader
merchant; technician; operator; inspector; instructor; trainer; worker; caretaker; cleaner; painter; photographer
sculptor; player; speaker; matador; gambler; smuggler; assassin; archer; hunter; fisher; rogue; druid; elf; angel
vampire; graduate; undergraduate; grad; alumnus; minister; deputy; delegate; attorney; solicitor; barrister
magistrate; notary; advocate; actuary; auditor; broker; realtor; landlord; tenant; commuter; backpacker
"""

# What "of" brings decides about these: "a family of ducks", but "a team of doctors", "the crew of a ship".
COLLECTIVES = "family; team; band; choir; orchestra; army; crew; troop; couple; crowd; audience; public"

# A word for a person before one of these is no person: "nurse shark", "doctor costume", "police car".
THINGS = """
costume; uniform; outfit; coat; hat; cap; helmet; badge; dress; suit; jacket; shirt; boots; shoes; bag; glove; mask
wig; car; truck; van; bus; boat; ship; plane; airplane; helicopter; motorcycle; bike; train; station; office; room
house; hut; hospital; clinic; shop; store; school; building; tower; box; booth; cabin; kitchen; tent; bed; chair
seat; desk; table; shark; crab; fish; bird; bee; ant; beetle; butterfly; penguin; dog; cat; horse; bear; monkey
spider; fox; owl; card; logo; icon; sign; symbol; emoji; sticker; toy; doll; puppet; statue; statuette; figurine
sculpture; bust; robot; license; licence; manual; book; magazine; diary; letter; contract; certificate; chart
diagram; skeleton; anatomy; skull; light; lamp; episode; kit; equipment; tool; tools; gear; supplies; schedule
salary; support; service; rail; post; plate; wrench; joke; trap; crossing; union; market; rights; population; size
shorts; gloves; cream; sauce; cake; bread; soup; chocolate; housing
"""

# These end like words for people, but are not people (or not only).
NOT_PERSONS = """
abstractionist; aerosmith; alder; alligator; amber; amplifier; anchor; anger; answer; anterior; antichrist; antler
antman; aquaman; arbor; ardor; armor; assist; aster; backlist; badger; banister; banner; barrier; barter; batman
batter; beaker; beaver; better; bezier; bigger; binder; bitter; blacklist; blazer; blender; blinder; blister
blotter; blunder; bogeyman; boiler; boogeyman; booster; border; bother; boulder; breadmaker; breaker; brighter
broader; brother; brutalist; bulldozer; bumper; bunker; burger; burner; butter; cadaver; caiman; calculator; calmer
camcorder; camper; cancer; candleholder; canister; cantilever; capacitor; carburetor; cardholder; catwoman
cauliflower; center; chamber; chandelier; chapter; charger; charter; chatter; cheaper; checklist; cheeseburger
choker; chowder; christ; cider; cinder; clatter; cleanser; clearer; cleaver; clipper; cloister; closer; clover
cluster; clutter; coaster; colder; collider; color; compactor; computer; concealer; condenser; conditioner; conifer
connector; consist; constructivist; container; controller; converter; cooker; cooler; copier; copper; coriander
corner; cornflower; corridor; counter; cover; cracker; crater; creeper; cruiser; cubist; cucumber; cursor; cutter
cylinder; dagger; danger; darker; daughter; decanter; december; decoder; decor; deeper; defroster; dehumidifier
denser; destroyer; detector; detonator; diameter; diaper; diffuser; dimmer; dinner; disaster; discover; dishwasher
dispenser; divider; doberman; drawer; dresser; dryer; duster; eager; earlier; easier; easter; elevator; ember
encoder; equalizer; equator; eraser; error; escalator; ether; eucharist; excavator; exist; expressionist; exterior
extinguisher; eyeliner; factor; faster; fauvist; favor; feather; fewer; fiber; filler; filter; finer; finger
firecracker; flamethrower; flasher; flavor; flicker; flipper; floor; flounder; flower; flutter; flycatcher; flyer
folder; forever; former; foyer; freezer; freighter; fresher; freshwater; fritter; fryer; fuller; further; futurist
gander; garter; gather; generator; german; geyser; ginger; gingerbreadman; girder; glacier; glamor; glider; glimmer
glitter; grasshopper; grater; greater; greener; grinder; grist; groundwater; grouper; gunpowder; gutter; hairdryer
halter; hamburger; hammer; hamper; hamster; hanger; hangman; happier; harbor; harder; harvester; headquarter
heater; heather; heavier; heist; helicopter; hetman; higher; highlighter; hinder; hoist; holder; holster; honor
hopper; horror; hotter; hover; however; humidifier; humor; hyper; hyperrealist; impressionist; incubator; indicator
indoor; inductor; inferior; inner; insist; interior; inverter; ironman; jasper; joker; juicer; jumper; junior
juniper; keyholder; kingfisher; kosher; labor; ladder; lager; lampholder; larger; laser; later; lather; latter
launcher; lavender; lawnmower; layer; leather; ledger; lesser; letter; lever; lighter; liquor; litter; liver
loader; loafer; lobster; locker; locomotor; longer; louder; louver; lovelier; lower; lumber; luster; magister
major; manner; manor; marker; matter; maximalist; meander; megaman; metaphor; meteor; meter; microwaver; midsummer
midwinter; minimalist; minor; mirror; mixer; modernist; moist; moisturizer; monitor; monster; moreover; motor
mower; muffler; murder; mussulman; narrower; nearer; never; newer; newsletter; newspaper; nicer; norman; november
number; nutcracker; october; offer; older; oleander; opener; order; other; otter; ottoman; outdoor; outer; oyster
oystercatcher; pacifier; pacman; pager; pallor; panther; paper; parlor; peeler; pepper; perimeter; persist
photorealist; pitcher; placeholder; planter; plaster; platter; playlist; plier; plover; plunder; plunger
pointillist; poker; polymer; ponder; popper; poster; posterior; postimpressionist; powder; power; prayer; predator
prettier; primer; printer; prior; processor; projector; propeller; proper; prosper; pullover; puncher; purifier
purist; quarter; quicker; quieter; racist; radiator; rafter; rainwater; raptor; rather; rationalist; razor; reactor
realist; receiver; recorder; reefer; refrigerator; register; remainder; reminder; render; resist; resistor
retriever; revolver; richer; river; roadster; roller; roman; rooster; rotor; rottweiler; rougher; router; rover
rubber; rudder; ruler; rumor; safer; salamander; sampler; sander; sandman; sandpaper; saucer; scanner; scatter
schist; schnauzer; scissor; scooter; scraper; screener; screwdriver; seawater; seeder; seltzer; semiconductor
senior; sensor; september; sequencer; server; setter; sexist; sharper; shatter; shaver; shelter; shimmer; shiver
shorter; shortlist; shoulder; shower; shredder; shudder; shutter; silencer; silver; simmer; simpler; simulator
sinister; skewer; skyscraper; slender; slider; slipper; slither; slower; slumber; smaller; smoother; smother
sneaker; snowman; sober; softer; somber; sooner; spatter; spider; spiderman; splatter; splendor; splinter
sprinkler; squalor; stapler; starter; stator; steamer; steeper; steer; stepper; sticker; stinger; stopper; strainer
streamer; stretcher; strobelighter; stroller; stronger; stupor; stutter; subwoofer; succor; summer; sunder
sunflower; super; superior; superman; supper; suprematist; surrealist; suspender; sweater; sweetener; sweeter
symbolist; synthesizer; talisman; taller; tamper; tanker; taper; tatter; teeter; teleprompter; tender; tenor
terminator; terrier; terror; theater; thermometer; thicker; thinner; thruster; thunder; tiger; tighter; timber
timer; tinder; toaster; together; toiletpaper; topper; torpor; totter; tougher; tower; tractor; trailer
transformer; transistor; transmitter; transporter; trawler; tremor; tricolor; trigger; trimmer; trouser; tuber
tumbler; tumor; tweeter; twist; twister; typewriter; udder; ulcer; ulterior; umber; under; underwater; upper; utter
vapor; vector; veneer; ventilator; vesper; victor; vigor; viper; visor; voucher; wader; wafer; waiver; walkman
wallflower; wallpaper; wander; warbler; warmer; washer; watchlist; water; waver; weaker; weather; webmaster
weirder; wetter; whatever; wherever; whether; whimper; whisker; whisper; whist; whiter; wider; wilder; wildflower
windbreaker; winter; wiser; wishlist; wither; wonder; woodpecker; woofer; wrapper; wrist; yeoman; yonder; younger
zeitgeist; zester; zipper; zither
"""

# In these phrases, words for people are not people. Articles do not matter: "statue of man" is "the statue of a man".
PHRASES = """
couple of; man made; man eating; man eater; man hole; man cave; man sized; human made; human sized; human like
human rights; human resources; human readable; human anatomy; human skull; human skeleton; human heart; human brain
one man band; two man tent; crash test dummy; action figure; stick figure; wax figure; clay figure; lego figure
chocolate figure; figure eight; figure skating; figure of speech; figure head; gingerbread man; spider man
iron man; ant man; super man; bat man; he man; wonder woman; cat woman; king crab; king size; king sized; king bed
king cobra; king penguin; king salmon; king prawn; king of hearts; king of spades; king of diamonds; king of clubs
chess king; king charles spaniel; queen bee; queen size; queen sized; queen bed; queen of hearts; queen of spades
queen of diamonds; queen of clubs; chess queen; lady bug; ladybug; lady finger; lady's slipper; mother nature
mother earth; mother of pearl; mother ship; mother tongue; mother board; father time; witch hazel; sister city
sister ship; princess cut; male connector; female connector; male plug; female plug; girl power; game boy
old man's beard; lord of rings; german shepherd; australian shepherd; shepherd's pie; shepherd pie; dr pepper
jack russell; boxer dog; great dane; police line; ninja turtle; angel food cake; band aid; rubber band; band saw
fan art; ceiling fan; electric fan; desk fan; fan blade; golf driver; chef's knife; chef knife; baby blue
baby pink; baby elephant; baby animal; baby goat; baby bird; baby seal; baby panda; baby deer; baby carrot
baby grand; kid goat; general store; in general; general view; private property; major city; media player
record player; cd player; dvd player; vinyl player; team spirit; character sheet; character design; family tree
family house; family car; guide book; master bedroom; vending machine; praying mantis; crowd control; boxer shorts
praying hands; toy soldier; tin soldier; robot chef; not only; nothing but; no doubt; no matter; no longer
no wonder; by photographer
by famous photographer; by painter; by designer; by architect; by professional photographer
"""

# What follows these with "of" is not a person: "a statue of a man".
DEPICTIONS = """
statue; statuette; sculpture; bust; figurine; doll; puppet; mannequin; toy; effigy; totem; action figure; plushie
logo; icon; emblem; monument; marionette; scarecrow; tombstone; grave; tomb; cutout; silhouette cutout; wax figure
memorial; nutcracker
"""

# A person after one of these is only a disguise when an animal or a toy wears it: "a teddy bear dressed as a doctor".
DISGUISES = """
dressed as; dressed up as; dressed like; disguised as; costumed as; looks like; shaped like; in form of; in shape of
"""

# Their owner is in the picture: "a farmer's hands", but not "a doctor's office".
BODY = """
face; hand; head; portrait; headshot; eye; body; silhouette; smile; back; hair; profile; photo; picture; feet; foot
arm; leg; shoulder; neck; lips; mouth; figure; fingers; finger; skin; expression; gaze; torso; reflection; closeup
selfie
"""

# These rule out what follows.
NEGATIONS = """
no; not; without; never; neither; nor; none of; non; zero; minus; lacking; sans; devoid of; free of; empty of
absence of; lack of; instead of; rather than; other than; except; except for; excluding; hardly any
"""

# A noun ends before one of these.
FUNCTION_WORDS = """
in; on; at; of; by; with; to; from; for; as; into; onto; over; under; near; beside; behind; before; after; above
below; between; among; around; through; across; against; along; inside; outside; next; while; when; where; who
whom; whose; that; which; whilst; during; until; within; without; and; or; nor; but; is; are; was; were; be; been
being; has; have; had; do; does; did; can; will; may; must; should; would; could; not; no; it; its; he; she; they
his; her; their; my; your; our; this; these; those; than; then; there; so; if; because; very; too; also; alone; up
down; out; off; back
"""

# A verb follows these: "to cook", "let's model".
VERB_BEFORE = "to; will; can; must; should; would; could; may; might; please; let; i; we; you; they; who; don; do"
COPULAS = "is; are; was; were; looks; look; being; seems"
DEGREES = "very; quite; rather; so; really; too; extremely; not; both; all"
# An adjective before one of these describes it, not the person after it: "a black haired doctor".
DESCRIBED = """
haired; eyed; clad; robed; suited; coated; dressed; hooded; masked; gloved; fashioned; caped; maned; booted; painted
"""
# "and" before one of these begins another noun: "no cars and two cyclists".
COUNTS = "one; two; three; four; five; six; seven; eight; nine; ten; several; some; many"
