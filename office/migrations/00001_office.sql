-- +goose Up
-- Times are milliseconds since 1970, UTC; 0 is none.
CREATE TABLE owner (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    store text NOT NULL
);
CREATE TABLE document (
    name text COLLATE "C" PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 200),
    body bytea NOT NULL
);
CREATE TABLE alert (
    n       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      text NOT NULL,
    rule    text NOT NULL,
    dest    text NOT NULL,
    capture text NOT NULL,
    body    text NOT NULL,
    sent    bigint NOT NULL DEFAULT 0,
    UNIQUE (id, dest)
);
CREATE INDEX alert_due ON alert (rule, dest, n) WHERE sent = 0;
CREATE INDEX alert_kept ON alert (rule, dest, n) WHERE body <> '';
CREATE INDEX alert_capture ON alert (capture) WHERE capture <> '';
CREATE TABLE target (
    rule  text NOT NULL,
    dest  text NOT NULL,
    tries bigint NOT NULL,
    next  bigint NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (rule, dest)
);

-- +goose Down
DROP TABLE target, alert, document, owner;
