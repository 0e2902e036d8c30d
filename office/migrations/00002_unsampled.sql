-- +goose Up
-- The server keeps values of a column that it looks at in its own statistics, where a
-- row that was deleted leaves them. Nobody asks by the body of an alert; a change of type,
-- also to the same one, forgets what was kept.
ALTER TABLE alert ALTER COLUMN body TYPE text;
ALTER TABLE alert ALTER COLUMN body SET STATISTICS 0;
