package pg

import "github.com/jackc/pgx/v5/pgxpool"

// Config is what Open connects with, for a room that has several pools, or another way
// with its schema: o.Migrations and o.Existing do not count. Nothing is connected yet.
func Config(o Options) (*pgxpool.Config, error) { return config(o) }
