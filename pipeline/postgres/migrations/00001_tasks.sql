-- +goose Up
-- Times are milliseconds since 1970, UTC; 0 is none. The forms are those of pipeline/sqlite.
CREATE TABLE names (
    n     integer PRIMARY KEY,
    name  text NOT NULL UNIQUE CHECK (name ~ '^[0-9a-f]{16}$'),
    drawn bigint NOT NULL
);
CREATE TABLE topics (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    cluster    text NOT NULL,
    prefix     text NOT NULL,
    partitions integer NOT NULL CHECK (partitions BETWEEN 1 AND 8191)
);
CREATE TABLE stages (
    stage text PRIMARY KEY,
    begin bigint[] NOT NULL
);
CREATE TABLE tasks (
    id      text COLLATE "C" PRIMARY KEY,
    scheme  text NOT NULL,
    due     bigint NOT NULL,
    token   bigint NOT NULL DEFAULT 0,
    until   bigint NOT NULL DEFAULT 0,
    seen    bigint NOT NULL DEFAULT 0,
    step    bigint NOT NULL,
    attempt bigint NOT NULL,
    fixed   bytea NOT NULL,
    cursor  bytea
);
CREATE INDEX tasks_due ON tasks (due, id);

-- +goose Down
DROP TABLE tasks, stages, topics, names;
