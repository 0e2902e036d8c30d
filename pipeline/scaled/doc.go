// Package scaled is the queue of an office that outgrew one machine: messages and
// stage positions in Apache Kafka (pipeline/kafka), Tasks, names and what the queue
// is bound to in PostgreSQL (pipeline/postgres). It opens both by their URLs and
// makes one queue of them; it holds to the whole contract of package pipeline.
//
// # Two engines, one acceptance
//
// There is no transaction over both. The lease is asked for, the messages are made
// durable in Kafka, and then the Task moves in PostgreSQL. A crash between the last
// two leaves a Task that is taken and captured again under the same ID; the second
// message is dropped behind Kafka (see package pipeline, "Acceptance"). A lease that
// was lost before publishes nothing; one that is lost meanwhile moves no Task.
//
// # Bound for life
//
// The first opening records in PostgreSQL which Kafka cluster the topics are of,
// their prefix and how many partitions they have. Every later one compares, and
// refuses what differs: positions of other topics would pass for those that are
// sealed already.
package scaled
