-- +goose Up
-- The list of what is watched. A row whose body is empty was removed: who reads what has
-- changed must learn of that too. version goes up with each change, one change at a time;
-- edited is that of the last one of what is watched, and not by whom.
CREATE TABLE watch_list (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL,
    edited  bigint NOT NULL,
    edit    text   NOT NULL
);
INSERT INTO watch_list (version, edited, edit) VALUES (0, 0, '');
CREATE TABLE watch (
    source  text COLLATE "C" PRIMARY KEY CHECK (length(source) BETWEEN 1 AND 200),
    body    bytea  NOT NULL,
    node    text   NOT NULL DEFAULT '',
    changed bigint NOT NULL
);
CREATE INDEX watch_changed ON watch (changed);
-- Who runs watches, by the server's clock.
CREATE TABLE watcher (
    node  text PRIMARY KEY,
    until timestamptz NOT NULL,
    body  bytea NOT NULL
);

-- +goose Down
DROP TABLE watcher, watch, watch_list;
