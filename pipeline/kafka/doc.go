// Package kafka is the queue of an office that outgrew one machine: captured,
// normalised and result messages in Apache Kafka, for any number of processes on
// any number of machines. Tasks, the queue's names and what is fixed for its life
// lie in a database (see Options); pipeline/sqlite is the embedded queue, and both
// hold to one suite, pipeline/queuetest.
//
// # Topics
//
// PREFIX.captured, PREFIX.normalised and PREFIX.sealed have the same number of
// partitions, for the queue's life; PREFIX.dead has one. A message goes to the
// partition of its Key's hash. Its position there is its offset + 1: nothing is
// compacted and nothing written in transactions, so positions have no gaps.
// Normalised messages are whole and have positions of their own, in the partition
// of the same number.
//
// # Durability
//
// A message is acknowledged when all in-sync replicas have it, at least two of
// three, each in the memory of its broker. A broker that dies takes nothing with
// it. The power of all brokers at once may take the end of each log, and then gives
// its positions to other messages. A commit therefore carries the ID and sum of the
// message that it goes to: where that is not there any more, the stage begins again
// where its topic does, which repeats, and passes nothing over; preserve then finds
// plans that do not fit, and the queue gets another name. What was acknowledged,
// not normalised or not sealed, and lost with the power, is lost: docs/scale.md.
//
// # Who owns a partition
//
// A stage is a consumer group, PREFIX.<stage>; Share joins it. A commit names the
// group's generation, and the broker refuses one of an earlier generation. So a
// process that was cut off, and does not know it, can write, and cannot move the
// stage. What it writes beside the next owner is dropped behind it: normalise skips
// what it finds in its topic, by the position in captured that each message names
// and by ID, preserve what a plan has (package pipeline, "Plan"), and a result may
// be said twice.
//
// # Twice
//
// Kafka remembers no IDs. A publisher whose answer was lost publishes again, and a
// retry inside this package may write a request twice. Normalise knows the IDs that
// it wrote within the last hour, at most half a million of a partition, and copies
// a second message of an ID to the dead-letter topic instead; preserve skips those
// that are older, and says so in the plan.
//
// # When brokers are away
//
// Every call is tried again for as long as Options.Patience and then returns
// pipeline.ErrUnavailable; Receive and Share wait until they are back, and say so
// in the log. Nothing is accepted meanwhile, and nothing that was is lost.
package kafka
