package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"
)

// reads says which topic each stage reads.
var reads = map[string]string{"normalise": "captured", "preserve": "normalised", "index": "normalised", "results": "sealed"}

// drillPartitions is how many each topic has.
const drillPartitions = 2

// asked bounds what is asked of an engine that may be away.
func (d *drill) asked() (context.Context, context.CancelFunc) {
	return context.WithTimeout(d.t.Context(), 10*time.Second)
}

// ends are the first and the last offset of a topic's partitions.
func (d *drill) ends(topic string) (ends map[int]kafka.PartitionOffsets, err error) {
	ctx, cancel := d.asked()
	defer cancel()
	req := &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{}}
	name := drillPrefix + "." + topic
	for p := range drillPartitions {
		req.Topics[name] = append(req.Topics[name], kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	res, err := d.kafka.Client().ListOffsets(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ends of %s: %w", topic, err)
	}
	ends = map[int]kafka.PartitionOffsets{}
	for _, p := range res.Topics[name] {
		if p.Error != nil {
			return nil, fmt.Errorf("ends of %s: %w", topic, p.Error)
		}
		ends[p.Partition] = p
	}
	return ends, nil
}

// behind says which stage has something before it. Until none has, a capture may still
// come into a second Seal.
func (d *drill) behind() error {
	for stage, topic := range reads {
		ends, err := d.ends(topic)
		if err != nil {
			return err
		}
		ctx, cancel := d.asked()
		name := drillPrefix + "." + topic
		res, err := d.kafka.Client().OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: drillPrefix + "." + stage, Topics: map[string][]int{name: {0, 1}}})
		cancel()
		if err != nil {
			return fmt.Errorf("offsets of %s: %w", stage, err)
		}
		for _, p := range res.Topics[name] {
			if p.Error != nil {
				return fmt.Errorf("offsets of %s: %w", stage, p.Error)
			}
			if left := ends[p.Partition].LastOffset - max(p.CommittedOffset, 0); left > 0 {
				return fmt.Errorf("%s has %d messages before it in partition %d", stage, left, p.Partition)
			}
		}
	}
	return nil
}

// open says how many captures and Events the catalog does not know as sealed.
func (d *drill) open() error {
	ctx, cancel := d.asked()
	defer cancel()
	db, err := pgx.Connect(ctx, d.pg.DSN(d.pg.URL))
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	left := 0
	if err := db.QueryRow(ctx, "SELECT count(*) FROM holdfast_catalog.capture WHERE state < 2").Scan(&left); err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("%d captures and Events are open: %s", left, openOnes(ctx, db))
	}
	return nil
}

// openOnes says of some of them what the catalog has, other rows of their IDs too.
func openOnes(ctx context.Context, db *pgx.Conn) string {
	rows, err := db.Query(ctx, `SELECT encode(c.id, 'hex') || ' manifest ' || left(encode(c.manifest, 'hex'), 12) || ' state ' || c.state || ' shown ' || c.shown || ' twice ' || c.twice || ' event ' || c.event ||
		' position ' || c.position || ' seal ' || coalesce(convert_from(s.id, 'UTF8') || ' ' || s.state || ' ' || convert_from(s.reason, 'UTF8'), 'none') || ' source ' || convert_from(c.source, 'UTF8')
		FROM holdfast_catalog.capture c LEFT JOIN holdfast_catalog.seal s ON s.n = c.seal
		WHERE c.id IN (SELECT id FROM holdfast_catalog.capture WHERE state < 2 ORDER BY n LIMIT 5) ORDER BY c.id, c.n`)
	if err != nil {
		return err.Error()
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return fmt.Sprintf("%q %v", all, err)
}

// leader is the broker (0 is the first) that leads a partition.
func (d *drill) leader(topic string, partition int) int {
	d.t.Helper()
	m, err := d.kafka.Client().Metadata(d.t.Context(), &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil || len(m.Topics) != 1 || len(m.Topics[0].Partitions) <= partition {
		d.t.Fatalf("who leads %s: %v", topic, err)
	}
	for _, p := range m.Topics[0].Partitions {
		if p.ID == partition && p.Leader.ID > 0 {
			return p.Leader.ID - 1
		}
	}
	d.t.Fatalf("nobody leads %s/%d", topic, partition)
	return 0
}

// records are all that a partition of a topic holds.
func (d *drill) records(topic string, partition int) (out []kafka.Record) {
	d.t.Helper()
	ends, err := d.ends(topic)
	if err != nil {
		d.t.Fatal(err)
	}
	for from := ends[partition].FirstOffset; from < ends[partition].LastOffset; {
		ctx, cancel := d.asked()
		res, err := d.kafka.Client().Fetch(ctx, &kafka.FetchRequest{Topic: drillPrefix + "." + topic, Partition: partition, Offset: from, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: time.Second})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			d.t.Fatalf("read %s/%d: %v", topic, partition, err)
		}
		for {
			r, err := res.Records.ReadRecord()
			if err != nil {
				break
			}
			if r.Offset < from {
				continue
			}
			from = r.Offset + 1
			out = append(out, recordOf(d, r))
		}
		cancel()
	}
	return out
}

// recordOf holds a record's bytes, which are only there while it is read.
func recordOf(d *drill, r *kafka.Record) kafka.Record {
	key, err := kafka.ReadAll(r.Key)
	if err != nil {
		d.t.Fatal(err)
	}
	value, err := kafka.ReadAll(r.Value)
	if err != nil {
		d.t.Fatal(err)
	}
	return kafka.Record{Offset: r.Offset, Key: kafka.NewBytes(key), Value: kafka.NewBytes(value), Headers: slices.Clone(r.Headers)}
}

// produce writes records to a partition, as somebody does who does not know that they
// are there.
func (d *drill) produce(topic string, partition int, records []kafka.Record) {
	d.t.Helper()
	for some := range slices.Chunk(records, 500) {
		ctx, cancel := d.asked()
		res, err := d.kafka.Client().Produce(ctx, &kafka.ProduceRequest{Topic: drillPrefix + "." + topic, Partition: partition, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(some...)})
		cancel()
		if err == nil {
			err = res.Error
		}
		if err != nil {
			d.t.Fatalf("write to %s/%d: %v", topic, partition, err)
		}
	}
}

// rewind sets a stage back to the first message that its topic still has. The group takes
// that from nobody while it has members: those that were killed are some until their
// session is over.
func (d *drill) rewind(stage string) {
	d.t.Helper()
	ends, err := d.ends(reads[stage])
	if err != nil {
		d.t.Fatal(err)
	}
	name := drillPrefix + "." + reads[stage]
	req := &kafka.OffsetCommitRequest{GroupID: drillPrefix + "." + stage, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{}}
	for p := range drillPartitions {
		req.Topics[name] = append(req.Topics[name], kafka.OffsetCommit{Partition: p, Offset: ends[p].FirstOffset})
	}
	d.until(stage+" is set back", time.Minute, func() bool {
		ctx, cancel := d.asked()
		defer cancel()
		res, err := d.kafka.Client().OffsetCommit(ctx, req)
		if err != nil {
			return false
		}
		for _, p := range res.Topics[name] {
			if p.Error != nil {
				return false
			}
		}
		return true
	})
}
