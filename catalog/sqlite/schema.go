package sqlite

import "holdfast/search"

// applicationID marks the file as a holdfast catalog ("HFca"); schemaVersion is
// raised by every change of schema, and with search.Version. There are no migrations: an older catalog is
// made again from the store.
const (
	applicationID = 0x48466361
	schemaVersion = 6 + search.Version
)

// IDs and Digests are raw bytes, times of documents milliseconds since 1970,
// times of Seals microseconds, both UTC. outcome counts from
// complete (0) over partial to failed.
//
// shown is 1 for the one Manifest of a capture ID that is answered with, twice
// is 1 if there are others. state and seal of a capture repeat what member and
// seal say, so that lists need no search; every write keeps them equal. named
// of a capture repeats whether the table named has it under its home.
//
// answer is one Object of role posts, by its place among those of its capture's
// Manifest, with its Reach (flags: 1 too long, 2 final) and how many facts it has;
// called are the names that it states; sight is what it says of each post (kind as
// catalog.FactKind; place is Observed.Place, 0 for what was not seen). What follows
// is computed when it is asked for.
//
// text is one text that is searched, each once: of a post, or of a page with its
// title; at is the newest time that anybody stated for it. words and addresses are
// the indexes of full text (package search folds; the tokenizer of ASCII parts only
// at spaces what was folded), and keep no text. said and page are where a text was
// seen, linked which address of addresses stood there too: with post and capture 0,
// whichever it is not. texts of a capture counts the Objects that have one, and
// unread are those of them that nobody could read.
//
// over and below of an answer are its Thread: the channel's number and the post's; 0 is
// none. document holds each Object of the roles in catalog.DocumentRoles, by its place
// among those of its role, and skey as capture has it.
//
// object holds each Object of each Manifest, and the Manifest.
//
// placed of a seal is 1 once its members and places were stated whole.
//
// record holds of each chain the last line that gives a Case's record.
const schema = `
CREATE TABLE meta (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	complete INTEGER NOT NULL,
	syncs    INTEGER NOT NULL
);
CREATE TABLE capture (
	n         INTEGER PRIMARY KEY,
	id        BLOB NOT NULL,
	manifest  BLOB NOT NULL,
	shown     INTEGER NOT NULL,
	twice     INTEGER NOT NULL,
	position  INTEGER NOT NULL,
	state     INTEGER NOT NULL,
	seal      INTEGER,
	event     INTEGER NOT NULL,
	source    BLOB NOT NULL,
	skey      INTEGER NOT NULL,
	home      BLOB NOT NULL,
	started   INTEGER NOT NULL,
	ended     INTEGER NOT NULL,
	outcome   INTEGER NOT NULL,
	who       INTEGER NOT NULL,
	training  INTEGER NOT NULL,
	named     INTEGER NOT NULL,
	texts     INTEGER NOT NULL
);
CREATE TABLE who (
	n         INTEGER PRIMARY KEY,
	office    BLOB NOT NULL,
	pseudonym BLOB NOT NULL,
	role      BLOB NOT NULL,
	node      BLOB NOT NULL,
	UNIQUE (office, pseudonym, role, node)
);
CREATE UNIQUE INDEX capture_id ON capture (id, manifest);
CREATE INDEX capture_time ON capture (started, id) WHERE shown = 1;
CREATE INDEX capture_home ON capture (home, started, id, event) WHERE shown = 1;
CREATE INDEX capture_source ON capture (skey, started, id) WHERE shown = 1;
CREATE INDEX capture_event ON capture (started, id) WHERE shown = 1 AND event = 1;
CREATE INDEX capture_open ON capture (state, started, id) WHERE shown = 1 AND state < 2;
CREATE INDEX capture_unnamed ON capture (started, id) WHERE shown = 1 AND event = 0 AND named = 0;
CREATE INDEX capture_textless ON capture (n) WHERE shown = 1 AND event = 0 AND texts = 0;
CREATE TABLE seal (
	n      INTEGER PRIMARY KEY,
	id     BLOB NOT NULL UNIQUE,
	state  INTEGER NOT NULL,
	reason BLOB NOT NULL,
	t      INTEGER NOT NULL,
	at     INTEGER NOT NULL,
	placed INTEGER NOT NULL
);
CREATE INDEX seal_unplaced ON seal (id) WHERE placed = 0;
CREATE TABLE member (
	id       BLOB NOT NULL,
	manifest BLOB NOT NULL,
	seal     INTEGER NOT NULL,
	position INTEGER NOT NULL,
	PRIMARY KEY (id, manifest, seal)
) WITHOUT ROWID;
CREATE INDEX member_seal ON member (seal);
CREATE TABLE pack (
	n    INTEGER PRIMARY KEY,
	name BLOB NOT NULL UNIQUE
);
CREATE TABLE ref (
	digest BLOB NOT NULL,
	pack   INTEGER NOT NULL,
	start  INTEGER NOT NULL,
	size   INTEGER NOT NULL,
	PRIMARY KEY (digest, pack)
) WITHOUT ROWID;
CREATE TABLE home (
	id     BLOB PRIMARY KEY,
	name   BLOB,
	opened INTEGER,
	chain  BLOB,
	line   INTEGER
) WITHOUT ROWID;
CREATE INDEX home_name ON home (name);
CREATE TABLE chain (
	home   BLOB NOT NULL,
	id     BLOB NOT NULL,
	node   BLOB NOT NULL,
	length INTEGER NOT NULL,
	PRIMARY KEY (home, id)
) WITHOUT ROWID;
CREATE TABLE exhibit (
	home    BLOB NOT NULL,
	capture BLOB NOT NULL,
	number  INTEGER NOT NULL,
	at      INTEGER NOT NULL,
	chain   BLOB NOT NULL,
	line    INTEGER NOT NULL,
	PRIMARY KEY (home, capture)
) WITHOUT ROWID;
CREATE INDEX exhibit_number ON exhibit (home, number);
CREATE TABLE record (
	home  BLOB NOT NULL,
	chain BLOB NOT NULL,
	line  INTEGER NOT NULL,
	at    INTEGER NOT NULL,
	body  BLOB NOT NULL,
	PRIMARY KEY (home, chain)
) WITHOUT ROWID;
CREATE TABLE named (
	capture BLOB NOT NULL,
	home    BLOB NOT NULL,
	PRIMARY KEY (capture, home)
) WITHOUT ROWID;
CREATE TABLE added (
	home    BLOB NOT NULL,
	capture BLOB NOT NULL,
	PRIMARY KEY (home, capture)
) WITHOUT ROWID;
CREATE TABLE answer (
	n        INTEGER PRIMARY KEY,
	capture  INTEGER NOT NULL,
	part     INTEGER NOT NULL,
	channel  INTEGER NOT NULL,
	title    BLOB NOT NULL,
	received INTEGER NOT NULL,
	how      BLOB NOT NULL,
	reached  INTEGER NOT NULL,
	reaches  INTEGER NOT NULL,
	flags    INTEGER NOT NULL,
	shows    INTEGER NOT NULL,
	misses   INTEGER NOT NULL,
	over     INTEGER NOT NULL,
	below    INTEGER NOT NULL,
	UNIQUE (capture, part)
);
CREATE INDEX answer_thread ON answer (over, below) WHERE below > 0;
CREATE INDEX answer_channel ON answer (channel, received, n);
CREATE TABLE called (
	name     BLOB NOT NULL,
	channel  INTEGER NOT NULL,
	received INTEGER NOT NULL,
	answer   INTEGER NOT NULL,
	PRIMARY KEY (name, channel, received, answer)
) WITHOUT ROWID;
CREATE TABLE sight (
	channel   INTEGER NOT NULL,
	post      INTEGER NOT NULL,
	answer    INTEGER NOT NULL,
	kind      INTEGER NOT NULL,
	place     INTEGER NOT NULL,
	content   BLOB NOT NULL,
	text      BLOB NOT NULL,
	service   INTEGER NOT NULL,
	posted    INTEGER,
	edited    INTEGER,
	views     INTEGER NOT NULL,
	forwards  INTEGER NOT NULL,
	reactions INTEGER NOT NULL,
	replies   INTEGER NOT NULL,
	poll      BLOB NOT NULL,
	PRIMARY KEY (channel, post, answer, kind, place)
) WITHOUT ROWID;
CREATE TABLE text (
	n      INTEGER PRIMARY KEY,
	digest BLOB NOT NULL UNIQUE,
	at     INTEGER NOT NULL,
	lang   BLOB NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5 (body, handle, content = '', columnsize = 0, tokenize = "ascii tokenchars '_'");
CREATE TABLE said (
	text    INTEGER NOT NULL,
	channel INTEGER NOT NULL,
	post    INTEGER NOT NULL,
	PRIMARY KEY (text, channel, post)
) WITHOUT ROWID;
CREATE TABLE page (
	capture INTEGER PRIMARY KEY,
	text    INTEGER NOT NULL
);
CREATE INDEX page_text ON page (text);
CREATE TABLE address (
	n      INTEGER PRIMARY KEY,
	digest BLOB NOT NULL UNIQUE
);
CREATE VIRTUAL TABLE addresses USING fts5 (body, content = '', columnsize = 0, tokenize = "ascii tokenchars '_'");
CREATE TABLE linked (
	address INTEGER NOT NULL,
	text    INTEGER NOT NULL,
	channel INTEGER NOT NULL,
	post    INTEGER NOT NULL,
	capture INTEGER NOT NULL,
	PRIMARY KEY (address, text, channel, post, capture)
) WITHOUT ROWID;
CREATE INDEX linked_place ON linked (text, channel, post, capture);
CREATE TABLE object (
	digest  BLOB NOT NULL,
	capture INTEGER NOT NULL,
	PRIMARY KEY (digest, capture)
) WITHOUT ROWID;
CREATE TABLE document (
	role    BLOB NOT NULL,
	skey    INTEGER NOT NULL,
	capture INTEGER NOT NULL,
	part    INTEGER NOT NULL,
	digest  BLOB NOT NULL,
	size    INTEGER NOT NULL,
	PRIMARY KEY (role, skey, capture, part)
) WITHOUT ROWID;
CREATE TABLE unread (
	capture INTEGER NOT NULL,
	part    INTEGER NOT NULL,
	PRIMARY KEY (capture, part)
) WITHOUT ROWID;
`
