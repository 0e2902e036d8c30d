-- What the tables and columns mean is said in catalog/sqlite/schema.go, whose form this
-- is; what differs is said here. IDs and Digests are raw bytes, and so is all text from
-- outside: the server neither interprets nor compares it as text.

-- +goose Up
CREATE TABLE meta (
	one      integer PRIMARY KEY CHECK (one = 1),
	program  text    NOT NULL, -- 'holdfast catalog'
	owner    text    NOT NULL, -- whose store this is of; '' where nobody said
	folding  integer NOT NULL, -- search.Version of all words; 0: it is being made
	complete boolean NOT NULL,
	rebuild  text    NOT NULL  -- random name of the last rebuild
);
INSERT INTO meta VALUES (1, 'holdfast catalog', '', 0, false, '');

-- ident has a row for each capture ID that anything was said of. Who writes about an ID
-- locks its row, so that writers about one ID come one after another.
CREATE TABLE ident (
	id bytea PRIMARY KEY
);

CREATE TABLE who (
	n         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	office    bytea NOT NULL,
	pseudonym bytea NOT NULL,
	role      bytea NOT NULL,
	node      bytea NOT NULL,
	UNIQUE (office, pseudonym, role, node)
);

CREATE SEQUENCE capture_n CACHE 1;
CREATE TABLE capture (
	n        bigint  PRIMARY KEY,
	id       bytea   NOT NULL,
	manifest bytea   NOT NULL,
	shown    boolean NOT NULL,
	twice    boolean NOT NULL,
	position bigint  NOT NULL,
	state    integer NOT NULL,
	seal     bigint,
	event    boolean NOT NULL,
	source   bytea   NOT NULL,
	skey     bigint  NOT NULL,
	home     bytea   NOT NULL,
	started  bigint  NOT NULL,
	ended    bigint  NOT NULL,
	outcome  integer NOT NULL,
	who      bigint  NOT NULL,
	training boolean NOT NULL,
	named    boolean NOT NULL,
	texts    integer NOT NULL
);
CREATE UNIQUE INDEX capture_id ON capture (id, manifest);
CREATE INDEX capture_time ON capture (started, id) WHERE shown;
CREATE INDEX capture_home ON capture (home, started, id) WHERE shown;
CREATE INDEX capture_source ON capture (skey, started, id) WHERE shown;
CREATE INDEX capture_event ON capture (started, id) WHERE shown AND event;
CREATE INDEX capture_open ON capture (state, started, id) WHERE shown AND state < 2;
CREATE INDEX capture_unnamed ON capture (started, id) WHERE shown AND NOT event AND NOT named;
CREATE INDEX capture_textless ON capture (n) WHERE shown AND NOT event AND texts = 0;

CREATE TABLE seal (
	n      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id     bytea   NOT NULL UNIQUE,
	state  integer NOT NULL,
	reason bytea   NOT NULL,
	t      bigint  NOT NULL,
	at     bigint  NOT NULL,
	placed boolean NOT NULL
);
CREATE INDEX seal_unplaced ON seal (id) WHERE NOT placed;
CREATE TABLE member (
	id       bytea  NOT NULL,
	manifest bytea  NOT NULL,
	seal     bigint NOT NULL,
	position bigint NOT NULL,
	PRIMARY KEY (id, manifest, seal)
);
CREATE INDEX member_seal ON member (seal);
CREATE TABLE pack (
	n    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name bytea NOT NULL UNIQUE
);
CREATE TABLE ref (
	digest bytea  NOT NULL,
	pack   bigint NOT NULL,
	start  bigint NOT NULL,
	size   bigint NOT NULL,
	PRIMARY KEY (digest, pack)
);

CREATE TABLE home (
	id     bytea PRIMARY KEY,
	name   bytea,
	opened bigint,
	chain  bytea,
	line   bigint
);
CREATE INDEX home_name ON home (name);
CREATE TABLE chain (
	home   bytea  NOT NULL,
	id     bytea  NOT NULL,
	node   bytea  NOT NULL,
	length bigint NOT NULL,
	PRIMARY KEY (home, id)
);
CREATE TABLE exhibit (
	home    bytea  NOT NULL,
	capture bytea  NOT NULL,
	number  bigint NOT NULL,
	at      bigint NOT NULL,
	chain   bytea  NOT NULL,
	line    bigint NOT NULL,
	PRIMARY KEY (home, capture)
);
CREATE INDEX exhibit_number ON exhibit (home, number, capture);
CREATE TABLE record (
	home  bytea  NOT NULL,
	chain bytea  NOT NULL,
	line  bigint NOT NULL,
	at    bigint NOT NULL,
	body  bytea  NOT NULL,
	PRIMARY KEY (home, chain)
);
CREATE TABLE named (
	capture bytea NOT NULL,
	home    bytea NOT NULL,
	PRIMARY KEY (capture, home)
);
CREATE TABLE added (
	home    bytea NOT NULL,
	capture bytea NOT NULL,
	PRIMARY KEY (home, capture)
);

CREATE SEQUENCE answer_n CACHE 1;
CREATE TABLE answer (
	n        bigint  PRIMARY KEY,
	capture  bigint  NOT NULL,
	part     integer NOT NULL,
	channel  bigint  NOT NULL,
	title    bytea   NOT NULL,
	received bigint  NOT NULL,
	how      bytea   NOT NULL,
	reached  bigint  NOT NULL,
	reaches  bigint  NOT NULL,
	flags    bigint  NOT NULL,
	shows    bigint  NOT NULL,
	misses   bigint  NOT NULL,
	over     bigint  NOT NULL,
	below    bigint  NOT NULL,
	UNIQUE (capture, part)
);
CREATE INDEX answer_thread ON answer (over, below) WHERE below > 0;
CREATE INDEX answer_channel ON answer (channel, received, n);
CREATE TABLE called (
	name     bytea  NOT NULL,
	channel  bigint NOT NULL,
	received bigint NOT NULL,
	answer   bigint NOT NULL,
	PRIMARY KEY (name, channel, received, answer)
);
CREATE TABLE sight (
	channel   bigint   NOT NULL,
	post      bigint   NOT NULL,
	answer    bigint   NOT NULL,
	kind      smallint NOT NULL,
	place     integer  NOT NULL,
	content   bytea    NOT NULL,
	text      bytea    NOT NULL,
	service   boolean  NOT NULL,
	posted    bigint,
	edited    bigint,
	views     bigint   NOT NULL,
	forwards  bigint   NOT NULL,
	reactions bigint   NOT NULL,
	replies   bigint   NOT NULL,
	poll      bytea    NOT NULL,
	PRIMARY KEY (channel, post, answer, kind, place)
);

-- body has the folded words of a text, with a space between (package search), NULL where
-- there are none; handle each part of each handle, with a space before each. A phrase is
-- looked for in body, so it is exact however long the text; which texts to look at, words
-- says. What has more different words than a tsvector holds is wide: it is looked at always
-- (no word is '__').
CREATE TABLE text (
	n      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	digest bytea   NOT NULL UNIQUE,
	at     bigint  NOT NULL,
	lang   bytea   NOT NULL,
	wide   boolean NOT NULL,
	body   text COLLATE "C",
	handle text COLLATE "C",
	words  tsvector GENERATED ALWAYS AS (CASE WHEN wide THEN array_to_tsvector('{__}') ELSE array_to_tsvector(string_to_array(body, ' ')) END) STORED
);
CREATE INDEX text_newest ON text (at, digest);
-- What is new waits in a list of up to 8 MB, which each question reads too, and is sorted in at once.
CREATE INDEX text_words ON text USING gin (words) WITH (gin_pending_list_limit = 8192);
CREATE INDEX text_handle ON text USING gin (handle gin_trgm_ops);
CREATE INDEX text_mute ON text (n) WHERE lang = '';
CREATE TABLE said (
	text    bigint NOT NULL,
	channel bigint NOT NULL,
	post    bigint NOT NULL,
	PRIMARY KEY (text, channel, post)
);
CREATE TABLE page (
	capture bigint PRIMARY KEY,
	text    bigint NOT NULL
);
CREATE INDEX page_text ON page (text);

-- body has the words of an address with a space before and behind each.
CREATE TABLE address (
	n      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	digest bytea NOT NULL UNIQUE,
	body   text COLLATE "C" NOT NULL
);
CREATE INDEX address_body ON address USING gin (body gin_trgm_ops);
CREATE TABLE linked (
	text    bigint NOT NULL,
	channel bigint NOT NULL,
	post    bigint NOT NULL,
	capture bigint NOT NULL,
	address bigint NOT NULL,
	PRIMARY KEY (text, channel, post, capture, address)
);
CREATE INDEX linked_address ON linked (address, text);

CREATE TABLE object (
	digest  bytea  NOT NULL,
	capture bigint NOT NULL,
	PRIMARY KEY (digest, capture)
);
CREATE TABLE document (
	role    bytea   NOT NULL,
	skey    bigint  NOT NULL,
	capture bigint  NOT NULL,
	part    integer NOT NULL,
	digest  bytea   NOT NULL,
	size    bigint  NOT NULL,
	PRIMARY KEY (role, skey, capture, part)
);
CREATE TABLE unread (
	capture bigint  NOT NULL,
	part    integer NOT NULL,
	PRIMARY KEY (capture, part)
);

-- +goose Down
DROP TABLE meta, ident, who, capture, seal, member, pack, ref, home, chain, exhibit, record, named, added, answer, called, sight,
	text, said, page, address, linked, object, document, unread;
DROP SEQUENCE capture_n, answer_n;
