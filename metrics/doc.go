// Package metrics counts what one process of a node does and shows it in the form
// that Prometheus reads. It knows nothing of the node: cmd tells it. The names are a
// contract with dashboards and alert rules; docs/scale.md lists them, and a test
// holds the list, the dashboard and the rules against this room.
//
// No label has a value from outside: no Source, Case, URL or person is in a metric.
package metrics
