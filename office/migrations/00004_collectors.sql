-- +goose Up
-- The processes that capture, by the server's clock, and what they say of themselves.
CREATE TABLE collector (
    process text PRIMARY KEY CHECK (length(process) BETWEEN 1 AND 200),
    until   timestamptz NOT NULL,
    body    bytea NOT NULL
);
ALTER TABLE collector ALTER COLUMN body SET STATISTICS 0;

-- +goose Down
DROP TABLE collector;
